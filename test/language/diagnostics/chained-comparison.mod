block Scale(dim: int) {
  weight scale: f32[dim] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    where(0.0 < x < 1.0, x, scale)
  }
}
