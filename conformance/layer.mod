import { Layer, MoD } from "std"

/// One Mixture-of-Depths layer, whose reference makes the vectors. `shift` stands for what computed x: the gradient that
/// reaches the stream is its own.
model ConditionalDepth(
  dim: int = 8, heads: int = 2, hidden: int = 16, capacity: ratio = 12.5%, gate: string = "raw",
) {
  weight shift: f32[dim] = zeros
  layer: MoD(Layer(dim, heads, hidden: hidden), dim, capacity, gate)

  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x + shift) }

  objective(x: f32[B, T <= 64, dim], probe: f32[B, T, dim]) {
    loss output = mean(forward(x) * probe)
  }
}
