block Scale(dim: int) {
  weight scale: float32[dim] = ones
  forward(x: Tensor[B, dim]) -> f32[B, dim] { x }
}
