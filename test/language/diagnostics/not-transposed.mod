model M(dim: int = 4) {
  weight q: f32[dim, dim]

  names { "q" = "c_attn.weight"^t }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x * q[0] }
}
