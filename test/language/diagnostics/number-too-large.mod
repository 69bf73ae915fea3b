const huge = 2 ^ 100000

model M() {
  weight w: f32[huge]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
