const a = "x" + 1
const b = 3 and true

model M() {
  weight w: f32[a]
  weight v: f32[b]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { if not 3 { x } else { x } }
}
