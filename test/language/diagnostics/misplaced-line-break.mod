block Scale(dim: int) {
  weight scale: f32[dim] = ones

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    if train
    { x = x * scale }
    else { x = x }
    y = if generate then x
      else x * scale
    y
  }
}
