model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }

  objective(x: f32[B, T, 4]) -> f32[] {
    loss all = mean(forward(x))
  }
}
