model M() {
  forward(x: f32[..., 4]) -> f32[..., 4] { x }
}
