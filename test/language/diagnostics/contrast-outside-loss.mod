model M() {
  forward(x: f32[B, 8], y: f32[B, 8]) -> f32[B] {
    loss pairs = 0.5 * contrast(x, y, scale: 20) + 0.5 * contrast(y, x, scale: 20)      // fine
    hidden = contrast(x, y)
    seen = contrast(y, x)
    observe seen
    sum(x, axis: 1) * hidden
  }
}
