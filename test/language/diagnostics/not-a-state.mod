const rate = 0.1

block Gain(dim: int) {
  weight gain: f32[dim] = ones
  state level: f32[]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    update gain = 0.9 * gain
    update rate = 0.5
    update levels = 0.5
    level = mean(x)
    update level = level
    update x = x
    update forward = 0.5
    x * gain
  }
}

model M(dim: int = 4) {
  gain: Gain(dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { gain(x) }
}
