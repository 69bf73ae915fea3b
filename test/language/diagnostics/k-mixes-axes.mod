model M() {
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    outer = top(x[..., 0], ceil(50% * T))
    rows  = take(x, outer)
    put(x, outer, inside(rows, x))
  }
  
  inside(rows: f32[B, K, 8], x: f32[B, T, 8]) -> f32[B, K, 8] {
    inner = top(rows[..., 0], ceil(K / 2) + ceil(T / 8))
    put(rows, inner, tanh(take(rows, inner)))
  }
}
