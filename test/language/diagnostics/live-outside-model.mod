block Part(live gain: float = 2.0) {
  forward(x: f32[...]) -> f32[...] { x * gain }
}

model M() {
  part: Part()

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { part(x) }
}
