import { MoE, Nothing, RMSNorm, SwiGLU } from "std"

/// A mixture of networks and of experts that do nothing, added to the stream. A bias of the router decides how many
/// choices fall on the latter.
model Idle(
  dim: int = 512, hidden: int = 1024, experts: int = 8, idle: int = 8, k: int = 2, repeat: int = 1,
) {
  norm: RMSNorm(dim)
  moe:  MoE(
    [for e in 0..experts: SwiGLU(dim, hidden)] + [for e in 0..idle: Nothing()], dim, k,
    router_bias: true,
  )

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] {
    for i in 0..repeat { x = x + moe(norm(x)) }
    x
  }
}
