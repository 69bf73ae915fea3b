block Part() {
  weight w: f32[4]

  names { "w" = "v" }

  forward(x: f32[..., 4]) -> f32[..., 4] { x * w }
}

model M() {
  part: Part()

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { part(x) }
}
