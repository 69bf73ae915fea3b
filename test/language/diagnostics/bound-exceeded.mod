block Part() {
  forward(x: f32[B, T <= 16]) -> f32[B, T] { x }
}

model M() {
  part: Part()

  forward(x: f32[B, T <= 32], y: f32[B, S]) -> f32[B, T] {
    z = part(y)
    part(x)
  }
}
