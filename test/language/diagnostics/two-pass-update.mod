// modc: --phase train
model M(dim: int = 4) {
  weight gain: f32[dim] = ones
  state spread: f32[]
  state width: f32[]
  state tall: f32[dim]
  state half: f32[]

  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    update spread = mean((x - mean(x)) ^ 2)
    update width = var(x)
    update tall = sum(f32(x > B), axis: [0, 1])
    update half = sum(x) / ceil(B / 2)
    x * gain
  }
  objective(x: f32[B, T <= 64, dim]) { loss size = mean(forward(x) ^ 2) }
}
