// modc: --review yes
model M() {
  // @allow unread-weight: it was not read once
  weight w: f32[8]
  /// The documentation of what is read.
  /// @allow unread-weight: kept, so that older checkpoints load
  weight v: f32[8]

  forward(x: f32[B, T, 8]) -> f32[B, T, 8] {
    x * w // @allow unused-value: it is the result
  }
}
