block Turtle() {
  below: Turtle()

  forward(x: f32[...]) -> f32[...] { below(x) }
}

model M() {
  top: Turtle()

  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { top(x) }
}
