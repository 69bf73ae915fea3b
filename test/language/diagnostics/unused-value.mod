model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    y = x
      - 2 * x
    y
  }
}
