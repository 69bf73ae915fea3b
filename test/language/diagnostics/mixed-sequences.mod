model M() {
  state s: f32[8]
  forward(x: f32[B, T <= 64, 8], c: f32[B]) -> (y: f32[B, T, 8], whole: f32[8]) {
    all = mean(x, axis: [0, 1])
    update s = all                                  // of the whole step: fine
    own = mean(x, axis: 1, keep: true)
    loss spread = mean((x - all) ^ 2)               // fine
    observe all                                     // fine
    (x - all + own + sum(c), all)                   // the second is no result of a sequence
  }
}
