model M(dim: int = 4) {
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    scaled = x * dmi
    scaled + offset
  }
}

block Habits() {
  weight w: f32[T]

  forward(x: f32[B, T]) -> f32[B, T] { if True then torch.relu(x) else self.relu(x) }
}
