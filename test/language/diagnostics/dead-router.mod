// modc: --phase train
import { Linear, SwiGLU } from "std"

/// Of what decides here a state is no router: training moves it outside the gradient.
block Cutting() {
  state cut: f32[8]
  mlp: SwiGLU(8, 16)

  forward(x: f32[B, T, 8]) -> f32[B, T, 8] {
    run = above(mean(x - cut, axis: -1), 0.0)
    put(x, run, mlp(take(x, run)))
  }
}

model M() {
  weight router: f32[8]
  second: Linear(8, 1)
  third:  Linear(8, 4)
  fourth: Linear(8, 4)
  state lift: f32[4]
  experts: [for e in 0..4: Cutting()]

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    score  = x @ router
    chosen = top(score, ceil(12.5% * T))
    x      = put(x, chosen, tanh(take(x, chosen)))
    logit  = second(x)[..., 0]
    run    = those(logit > 0.0)
    gate   = take(logit, run)[..., None]
    x      = put(x, run, tanh(take(x, run)) * (gate / sum(gate, axis: -1, keep: true)))
    lifted = sigmoid(third(x))
    best   = top(lifted + lift, 2, axis: -1)
    some   = above(fourth(x), 0.0)
    x +
      sum(experts[best](x) * take(lifted, best)[..., None], axis: -2) +
      sum(experts[some](x), axis: -2)
  }

  objective(x: f32[B, T <= 64, 8], wanted: f32[B, T, 8]) {
    loss distance = mean((forward(x) - wanted) ^ 2)
  }
}
