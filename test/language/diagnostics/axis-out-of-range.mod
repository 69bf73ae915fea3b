model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    x - mean(x, axis: 3, keep: true)
  }
}
