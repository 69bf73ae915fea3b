model M() {
  forward(x: f32[B, T <= 64, 8], tokens: u32[B, T]) -> f32[B, T, 8] {
    x * tokens[..., None]
  }
}
