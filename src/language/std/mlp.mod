import { Linear } from "./linear.mod"

/// A gated network on each token (Shazeer 2020, arXiv 2002.05202): down(silu(gate(x)) · up(x)).
block SwiGLU(
  /// Width of the stream.
  dim: int,
  /// Width inside.
  hidden: int,
  /// Whether the three maps have a bias.
  bias: bool = false,
) {
  gate: Linear(dim, hidden, bias: bias)
  up:   Linear(dim, hidden, bias: bias)
  down: Linear(hidden, dim, bias: bias)

  forward(x: f32[..., dim]) -> f32[..., dim] { down(silu(gate(x)) * up(x)) }
}

/// Two maps with a GELU between them, on each token: down(gelu(up(x))).
block GeluMLP(
  /// Width of the stream.
  dim: int,
  /// Width inside.
  hidden: int,
  /// Whether the two maps have a bias.
  bias: bool = true,
) {
  up:   Linear(dim, hidden, bias: bias)
  down: Linear(hidden, dim, bias: bias)

  forward(x: f32[..., dim]) -> f32[..., dim] { down(gelu(up(x))) }
}
