import { Linear } from "std"

model M(dim: int = 100, heads: int = 8) {
  q: Linear(dim, dim / heads)
  weight w: f32[2.5 * 3]

  forward(x: f32[B, T, 100]) -> f32[B, T, 100] { x }
}
