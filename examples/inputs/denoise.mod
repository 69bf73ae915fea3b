import { AdaLN, Attention, Embedding, GeluMLP, Linear, PatchEmbed, Sinusoids } from "std"

/// A layer of a diffusion transformer (DiT, Peebles and Xie 2022, arXiv 2212.09748): attention and a network, both
/// conditioned by time and label.
block Conditioned(dim: int, heads: int) {
  attn: AdaLN(Attention(dim, heads, theta: 0.0, causal: false), dim)
  mlp:  AdaLN(GeluMLP(dim, 4 * dim), dim)

  /// Returns its update.
  forward(x: f32[B, T, dim], condition: f32[B, dim]) -> f32[B, T, dim] {
    a = attn(x, condition)
    a + mlp(x + a, condition)
  }
}

/// Layers that a share of the tokens goes through, from the first to the last; the others come back as they were.
block Share(dim: int, heads: int, depth: int, capacity: ratio, random: bool) {
  layers: [for i in 0..depth: Conditioned(dim, heads)]
  if not random {
    router: Linear(dim, 1, bias: false)
  }

  /// The update of all layers.
  update(x: f32[B, T, dim], condition: f32[B, dim]) -> f32[B, T, dim] {
    y = x
    for layer in layers { y = y + layer(y, condition) }
    y - x
  }

  forward(x: f32[B, T, dim], condition: f32[B, dim]) -> f32[B, T, dim] {
    if random and not train {
      x + update(x, condition)
    } else {
      if random { score = random_uniform(like: x[..., 0]) } else { score = router(x)[..., 0] }
      chosen = top(score, ceil(capacity * T))
      observe chosen
      y = update(take(x, chosen), condition)
      if not random { y = y * sigmoid(take(score, chosen))[..., None] }
      put(x, chosen, y)
    }
  }
}

/// A small diffusion transformer by flow matching (arXiv 2210.02747) that computes a share of the tokens in its inner layers:
/// chosen by a router, as in Mixture-of-Depths (arXiv 2404.02258), or in training at random (`--set random=true`), as in
/// TREAD (arXiv 2501.04765), where all tokens run when pictures are made.
model Denoise(
  size: int = 32, patch: int = 4, channels: int = 3, labels: int = 10, dim: int = 64,
  heads: int = 4,
  depth: int = 6,
  capacity: ratio = 50%, random: bool = false,
) {
  patches: PatchEmbed(size, patch, dim, channels)
  places:  Sinusoids(dim / 2)
  times:   Sinusoids(dim, order: "cos")
  time_up: Linear(dim, dim)
  classes: Embedding(labels, dim)
  first:   Conditioned(dim, heads)
  inner:   Share(dim, heads, depth - 2, capacity, random)
  last:    Conditioned(dim, heads)
  out:     AdaLN(Linear(dim, dim), dim)
  head:    Linear(dim, channels * patch ^ 2)

  /// From each square's pixels at a time from 0 (picture) to 1 (noise), the direction of noise.
  forward(image: f32[B, channels, size, size], time: f32[B], label: u32[B]) -> f32[B, N, channels *
    patch ^
    2] {
    x         = patches(image)
    condition = time_up(times(1000 * time)) + classes(label)
    p         = f32(position(x))
    row       = floor((p + 0.5) * (patch / size))
    x         = x + concat([places(row), places(p - row * (size / patch))], axis: -1)
    x         = x + first(x, condition)
    x         = inner(x, condition)
    x         = x + last(x, condition)
    head(x + out(x, condition))
  }

  objective(image: f32[B, channels, size, size], label: u32[B]) {
    noise  = random_normal(like: image)
    time   = random_uniform(like: image[:, 0, 0, 0])
    mixed  = image + (noise - image) * time[:, None, None, None]
    wanted = sequence(
      rearrange(noise - image, "b c (h p) (w q) -> b (h w) (c p q)", p: patch, q: patch),
    )
    loss flow = mean((forward(mixed, time, label) - wanted) ^ 2)
  }
}
