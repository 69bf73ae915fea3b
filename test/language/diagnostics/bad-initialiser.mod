model M() {
  weight a: f32[4] = normal(0 - 1)
  weight b: f32[4] = uniform(1, 0)
  weight c: f32[4] = orthogonal(1.0)
  weight d: u32[4] = normal(0.5)

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * a * b * c }
}
