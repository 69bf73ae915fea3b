import { Layer, MoD } from "std"

/// The same layer as a Mixture-of-Depths layer, applied `repeat` times to its own result.
model Routed(
  dim: int = 512, heads: int = 8, hidden: int = 2048, capacity: ratio = 12.5%, context: int = 2048, repeat: int = 1,
) {
  layer: MoD(Layer(dim, heads, hidden: hidden, mlp: "gelu"), dim, capacity)

  forward(x: f32[B, T <= context, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = layer(x) }
    x
  }
}
