block Scale(dim: int) {
  weight scale: f32[dim] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    y = exp(x] * scale
    y = y)
    y
  }
}
}
