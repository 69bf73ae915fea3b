import { Linear } from "std"

model M(depth: int = 4) {
  layers: [for i in depth: Linear(4, 4)]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
