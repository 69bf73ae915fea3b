import { Linear, MoE } from "std"

model M() {
  moe: MoE([for e in 0..4: Linear(8, 8)], 8, 5)

  forward(score: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    more = take(score, top(score, 9, axis: -1))
    none = take(score, top(score, 0, axis: -1))
    moe(score) + max(more) + max(none)
  }
}
