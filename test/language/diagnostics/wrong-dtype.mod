model M() {
  forward(x: f32[B, T <= 64, 8], tokens: u32[B, T]) -> f32[B, T, 8] {
    half = tokens / 2
    share = mean(x > 0.0, axis: -1)
    where(tokens, 1.0, 0.0)[..., None] * x
  }
}
