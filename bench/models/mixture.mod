import { MoE, SwiGLU } from "std"

/// A mixture of gated networks, added to the stream.
model Mixture(dim: int = 512, hidden: int = 1024, experts: int = 8, k: int = 2) {
  moe: MoE([for e in 0..experts: SwiGLU(dim, hidden)], dim, k)

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] { x + moe(x) }
}
