/// A product with a square matrix, applied `repeat` times to its own result.
model Product(size: int = 1024, repeat: int = 1) {
  weight b: f32[size, size]

  forward(x: f32[B, T <= 1024, size]) -> f32[B, T, size] {
    for i in 0..repeat { x = x @ b }
    x
  }
}
