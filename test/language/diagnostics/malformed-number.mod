block Scale(dim: int) {
  weight scale: f32[dim] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    y = x * 1. + .5
    z = 2y + 1_000 - 0x1f
    top(z, 4k)
  }
}
