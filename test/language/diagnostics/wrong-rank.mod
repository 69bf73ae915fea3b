model M() {
  weight router: f32[8, 1]

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    chosen = top(x @ router, 4)
    grouped = rearrange(x, "b t (g e) -> b t g e", g: 2)
    tokens = top(grouped, 2, axis: 1)
    put(x, chosen, take(x, chosen))
  }
}
