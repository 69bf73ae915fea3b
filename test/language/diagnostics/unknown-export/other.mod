block Something() {
  forward(x: f32[B]) -> f32[B] { x }
}
