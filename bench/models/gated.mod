import { SwiGLU } from "std"

/// The dense gated network with which mixtures are compared.
model Gated(dim: int = 512, hidden: int = 1024) {
  mlp: SwiGLU(dim, hidden)

  forward(x: f32[B, T <= 8192, dim]) -> f32[B, T, dim] { x + mlp(x) }
}
