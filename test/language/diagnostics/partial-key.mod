model M(dim: int = 4) {
  weight q: f32[dim, dim]
  weight k: f32[dim, dim]

  names {
    "q" = "qkv"[0:dim]
    "k" = "qkv"[2 * dim:3 * dim]
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x * q[0] * k[0] }
}
