model M(context: int = 0) {
  weight w: f32[4 - 4]

  forward(x: f32[B, T <= context, 4]) -> f32[B, T, 4] { x }
}

block Unused() {
  weight w: f32[0, 3]

  forward(x: f32[B, T <= 0, 4]) -> f32[B, T, 4] { x }
}
