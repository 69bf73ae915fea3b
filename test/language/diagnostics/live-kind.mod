model M(live depth: int = 2) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
