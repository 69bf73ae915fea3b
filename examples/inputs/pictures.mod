import { Layer, Linear, MoD, PatchEmbed, Residual, RMSNorm, Sinusoids } from "std"

/// A classifier of pictures (Dosovitskiy et al. 2020, arXiv 2010.11929) that computes a share of the patches in every
/// second layer (Mixture-of-Depths, arXiv 2404.02258). The patches' positions are their rows and columns.
model Pictures(
  size: int = 32, patch: int = 4, channels: int = 3, classes: int = 10, dim: int = 64,
  heads: int = 4,
  depth: int = 4, capacity: ratio = 25%,
) {
  patches: PatchEmbed(size, patch, dim, channels)
  places:  Sinusoids(dim / 2)
  layers:  [for i in 0..depth:
              if i % 2 == 1 then MoD(Layer(dim, heads, theta: 0.0, causal: false), dim, capacity)
              else Residual(Layer(dim, heads, theta: 0.0, causal: false))]
  norm:    RMSNorm(dim)
  head:    Linear(dim, classes)

  forward(image: f32[B, channels, size, size]) -> f32[B, classes] {
    x   = patches(image)
    p   = f32(position(x))
    row = floor((p + 0.5) * (patch / size))
    x   = x + concat([places(row), places(p - row * (size / patch))], axis: -1)
    for layer in layers { x = layer(x) }
    head(mean(norm(x), axis: 1))
  }

  objective(image: f32[B, channels, size, size], label: u32[B]) {
    loss class = mean(cross_entropy(forward(image), label))
  }
}
