// modc: --model Smal
model Small() {
  forward(x: f32[B, T]) -> f32[B, T] { x }
}
