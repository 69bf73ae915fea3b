import { Linear } from "std"

model M() {
  blocks: [for e in 0..8: Linear(8, 8)]


  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    a = top(x[..., 0], 8)
    b = top(x[..., 1], 8)
    same = take(x, a) + take(x, b)
    whole = x + take(x, a)
    few = top(x, 2, axis: -1)
    others = top(-x, 2, axis: -1)
    entries = take(x, few) + take(x, others)
    elsewhere = take(take(x, a), few)
    experts = blocks[few](take(x, a))
    put(x, a, tanh(take(x, b)))
  }
}
