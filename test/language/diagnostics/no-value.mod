// modc: --phase train
model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }

  helper(x: f32[B, T, 4]) {
    y = x
  }

  objective(x: f32[B, T, 4]) {
    y = helper(x)
    loss a = mean(x)
  }
}
