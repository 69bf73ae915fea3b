model M() {
  weight a: f32[2, 4]
  weight b: f32[2, 4]

  names {
    "a" = "w"[0:2, 0:8:0]
    "b" = "v"[None, 4:2]
  }

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x * a[0] * b[0] }
}
