model M() {
  forward(x: f32[B, T <= 64, 8], other: f32[B, S <= 64, 8]) -> f32[B, T, 8] {
    attention(x, other, other, causal: true)
  }
}
