// modc: --phase train
block Gain(dim: int) {
  state level: f32[]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    update level = 0.9 * level + 0.1 * mean(abs(x))
    x / (1.0 + level)
  }
}

model M(dim: int = 4) {
  shared: Gain(dim)
  state seen: f32[]

  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    update seen = seen + 1.0
    if train { update seen = 0.0 }
    shared(shared(x))
  }
  objective(x: f32[B, T <= 64, dim]) { loss size = mean(forward(x) ^ 2) }
}
