// modc: --phase generate
model M() {
  weight router: f32[8]

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    score  = x @ router
    chosen = top(score, ceil(12.5% * T))
    experts = top(x, 4, axis: 1)
    x = put(x, experts, take(x, experts))
    put(x, chosen, tanh(take(x, chosen)) * take(score, chosen)[..., None])
  }
}
