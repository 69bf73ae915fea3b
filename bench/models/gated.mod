import { RMSNorm, SwiGLU } from "std"

/// The dense gated network with which mixtures are compared.
model Gated(dim: int = 512, hidden: int = 1024, repeat: int = 1) {
  norm: RMSNorm(dim)
  mlp:  SwiGLU(dim, hidden)

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = x + mlp(norm(x)) }
    x
  }
}
