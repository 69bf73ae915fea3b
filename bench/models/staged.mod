import { Attention, LayerOf, MoD, MoE, Residual, SwiGLU } from "std"

/// A layer with a mixture, for every token or for those that a router lets through, applied `repeat` times to its own
/// result.
model Staged(
  dim: int = 512, heads: int = 8, hidden: int = 1024, experts: int = 8, k: int = 2,
  routed: bool = false, capacity: ratio = 12.5%, repeat: int = 1,
) {
  inner: LayerOf(
    Attention(dim, heads), MoE([for e in 0..experts: SwiGLU(dim, hidden)], dim, k), dim,
  )
  layer: if routed then MoD(inner, dim, capacity) else Residual(inner)

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = layer(x) }
    x
  }
}
