block Both(dim: int) {
  forward(x: f32[B, dim]) -> (f32[B, dim], twice: f32[B, dim]) { x }
}
