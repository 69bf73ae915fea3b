const a = b + 1
const b = a + 1

model M() {
  weight w: f32[a]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
