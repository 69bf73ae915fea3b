model M() {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { again(x) }

  again(x: f32[B, T, 4]) -> f32[B, T, 4] { forward(x) }
}
