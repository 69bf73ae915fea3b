model M(dim: int = 4) {
  hidden: 4 * dim

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x }
}
