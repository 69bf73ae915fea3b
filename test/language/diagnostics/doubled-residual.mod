import { Layer, MoD, Residual } from "std"

model M() {
  weight router: f32[16]
  routed: MoD(Residual(Layer(16, 2)), 16)
  dense:  Residual(Layer(16, 2))

  forward(x: f32[B, T <= 64, 16]) -> f32[B, T, 16] {
    score  = routed(x) @ router
    chosen = top(score, ceil(12.5% * T))
    rows   = take(x, chosen)
    x      = x + dense(x)
    put(x, chosen, (rows + tanh(rows)) * take(score, chosen)[..., None])
  }
}
