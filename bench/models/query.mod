/// Attention of one query of S keys, its result the query of the next time.
model Query(heads: int = 8, width: int = 64, keys: int = 2048, repeat: int = 1) {
  forward(q: f32[B, T <= 1, heads, width], k: f32[B, S <= keys, heads, width], v: f32[B, S, heads, width]) -> f32[B, T, heads, width] {
    held   = rearrange(k, "b t h d -> b h t d")
    values = rearrange(v, "b t h d -> b h t d")
    for i in 0..repeat {
      q = rearrange(attention(rearrange(q, "b t h d -> b h t d"), held, values), "b h t d -> b t h d")
    }
    q
  }
}
