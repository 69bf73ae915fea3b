import { Linear } from "std"

block Pair() {
  forward(a: f32[B, T, 4], b: f32[B, T, 4]) -> f32[B, T, 4] { a + b }
}

model M() {
  proj: Linear(8, 4)
  pair: Pair()

  forward(x: f32[B, T, 4], y: f32[B, S, 4], n: u32[B, T, 4]) -> f32[B, T, 4] {
    a = proj(x)
    b = pair(x, y)
    c = pair(x, n)
    pair(x, sum(x, axis: -1))
  }
}
