model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    grouped = rearrange(x, "b t (g e) -> b t g e", g: 2)
    neither = top(x, 2, axis: 0)
    third = top(grouped, 2, axis: 2)
    dropout(x, 100%)
  }
}
