model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, 8] {
    some = take(x, above(x, 0.5))
    first = some[..., 0]
    longer = concat([some, some], axis: -1)
    product = some @ some
    each = mean(some, axis: 1)
    rearrange(x, "b t d -> b (t d)")
  }
}
