import { Linear } from "std"

const width = 4
const width = 5

model M(dim: int = 4, dim: int = 5) {
  proj: Linear(dim, dim)
  proj: Linear(dim, dim)

  forward(x: f32[B, T, 4], x: f32[B, T, 4]) -> f32[B, T, 4] {
    loss a = mean(x)
    loss a = sum(x)
    x
  }

  pair(x: f32[B, T, 4]) -> (a: f32[B, T, 4], a: f32[B, T, 4]) { [x, 0 * x] }
}
