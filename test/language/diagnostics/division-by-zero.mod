const a = 1 / (2 - 2)
const b = 5 % 0
const unused = 1 / 0

model M() {
  weight w: f32[a]
  weight v: f32[b]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
