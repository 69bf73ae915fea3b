model M() {
  weight a: bool[4]
  weight b: f32[..., 4]
  weight c: f32[4 <= 8]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
