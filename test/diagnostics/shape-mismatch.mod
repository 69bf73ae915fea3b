model M() {
  weight narrow: f32[5]
  weight up: f32[8, 5]

  forward(x: f32[B, T <= 64, 8], other: f32[B, S <= 64, 8]) -> f32[B, T, 8] {
    gate = sum(x, axis: -1)
    a = x + narrow                                  // another width
    b = x * gate                                    // a last dimension is missing
    c = x @ up @ up                                 // the inner dimensions of the product
    d = x + concat([x[:, 2:], x[:, 0:2]], axis: 1)  // an axis of its own
    x + other                                       // another sequence
  }
}
