model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    a = rearrange(x, "b t (h d) -> b h t d", h: 3)
    b = rearrange(x, "b t d -> b t")
    rearrange(x, "b t (h d) -> b h t d")
  }
}
