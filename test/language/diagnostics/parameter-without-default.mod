model M(dim: int, depth: int = 4) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x }
}
