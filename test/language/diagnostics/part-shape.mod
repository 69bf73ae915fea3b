model M(dim: int = 4) {
  weight q: f32[dim, dim]
  weight bias: f32[dim]

  names {
    "q" = "c_attn.weight"[:, 0:2 * dim]^T
    "bias" = "c_attn.bias"^T
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x * q[0] + bias }
}
