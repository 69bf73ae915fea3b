model M(dim: int = 64) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x / dim ^ 0.5 }
}
