import { MoE, RMSNorm, SwiGLU } from "std"

/// A mixture of gated networks behind a norm, added to the stream, applied `repeat` times to its own result.
model Mixture(dim: int = 512, hidden: int = 1024, experts: int = 8, k: int = 2, repeat: int = 1) {
  norm: RMSNorm(dim)
  moe:  MoE([for e in 0..experts: SwiGLU(dim, hidden)], dim, k)

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = x + moe(norm(x)) }
    x
  }
}
