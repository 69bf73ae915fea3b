model M() {
  forward(x: f32[B, T, 4]) -> (a: f32[B, T, 4], b: f32[B, T, 4]) { x }
}
