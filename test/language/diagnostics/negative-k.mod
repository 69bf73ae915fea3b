model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    chosen = top(x[..., 0], 3 - 4)
    put(x, chosen, tanh(take(x, chosen)))
  }
}
