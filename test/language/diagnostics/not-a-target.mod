block Scale(dim: int) {
  weight scale: f32[dim] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    x[0] = scale
    f(x) = x
    (a, 1) = split(x, [1, 1], axis: -1)
    x
  }
}
