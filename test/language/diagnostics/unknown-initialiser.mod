model M() {
  weight w: f32[4] = xavier(1.0)
  weight v: f32[4] = 0.5
  state s: f32[4] = 0.5

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * w * v * s }
}
