model M() {
  forward(x: f32[B, T, 4], table: f32[T, 4], y: f32[4, B]) -> f32[B, T, 4] { x }
}
