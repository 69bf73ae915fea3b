import { Linear } from "std"

model M(dim: int = 4) {
  proj: Linear(d_in: 4, 4)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
