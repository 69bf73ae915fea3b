import { Linear } from "std"

model M(dim: int = 4) {
  proj: Linear(4, 4, d_in: 4)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
