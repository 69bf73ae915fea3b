block Split() {
  forward(x: f32[B, T, 4]) -> (a: f32[B, T, 4], b: f32[B, T, 4]) { [x, 2 * x] }
}

model M() {
  part: Split()

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    (a, b, c) = part(x)
    a
  }
}
