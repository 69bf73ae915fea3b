// `...` twice.
model M() {
  ends(x: f32[..., 4, ...]) -> f32[..., 4] { x }
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { ends(x) }
}
