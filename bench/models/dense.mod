import { Layer, Residual } from "std"

/// One pre-norm layer with a GELU network, applied `repeat` times to its own result.
model Dense(dim: int = 512, heads: int = 8, hidden: int = 2048, context: int = 2048, repeat: int = 1) {
  layer: Residual(Layer(dim, heads, hidden: hidden, mlp: "gelu"))

  forward(x: f32[B, T <= context, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = layer(x) }
    x
  }
}
