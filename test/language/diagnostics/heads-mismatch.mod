model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    q = rearrange(x, "b t (h d) -> b h t d", h: 8)
    k = rearrange(x[..., 0:3], "b t (h d) -> b h t d", h: 3)
    rearrange(attention(q, k, k, causal: true), "b h t d -> b t (h d)")
  }
}
