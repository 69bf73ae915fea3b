// modc: --phase train
model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }

  objective(x: f32[B, T, 4]) {
    loss wrong = forward(x) ^ 2
  }
}
