// modc: --phase train
import { Linear } from "std"

model M() {
  weight router: f32[8]
  second: Linear(8, 1)

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    score  = x @ router
    chosen = top(score, ceil(12.5% * T))
    x      = put(x, chosen, tanh(take(x, chosen)))
    logit  = second(x)[..., 0]
    run    = those(logit > 0.0)
    gate   = take(logit, run)[..., None]
    put(x, run, tanh(take(x, run)) * (gate / sum(gate, axis: -1, keep: true)))
  }

  objective(x: f32[B, T <= 64, 8], wanted: f32[B, T, 8]) {
    loss distance = mean((forward(x) - wanted) ^ 2)
  }
}
