import { Linear } from "std"

model M(dim: int = 4) {
  proj: Linear(4, 4, true, 5)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
