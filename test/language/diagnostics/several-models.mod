model Small() {
  forward(x: f32[B, T]) -> f32[B, T] { x }
}

model Large() {
  forward(x: f32[B, T]) -> f32[B, T] { x }
}
