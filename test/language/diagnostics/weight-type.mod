model M() {
  weight a: bool[4]
  weight b: f32[..., 4]
  weight c: f32[4 <= 8]
  state d: u32[4]
  state e: f32[...]

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
