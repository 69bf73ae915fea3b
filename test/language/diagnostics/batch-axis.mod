model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    a = mean(x, axis: 0)
    b = x[0]
    c = rearrange(x, "b t d -> t b d")
    d = concat([x, x], axis: 0)
    loss all = mean(mean(x, axis: [0, 1]) ^ 2)      // over all tokens of all sequences: fine
    x
  }
}
