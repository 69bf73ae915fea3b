model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, 8] {
    rearrange(x, "b t d -> b (t d)")
  }
}
