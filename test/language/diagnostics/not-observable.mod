model M(dim: int = 4) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    observe dim
    x
  }
}
