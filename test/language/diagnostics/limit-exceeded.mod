import { Linear } from "std"

model M(depth: int = 1000000) {
  layers: [for i in 0..depth: Linear(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
