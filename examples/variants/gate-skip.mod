import { Attention, Embedding, Linear, RMSNorm, SwiGLU } from "std"

/// The gate of GateSkip (Laitenberger et al. 2025, arXiv 2510.13876): a number for each channel, by which what a
/// branch adds is multiplied. Training is dense, with a loss on the gates, so it is smooth; afterwards the tokens
/// whose gates are lowest skip the branch: within a budget over a whole sequence, below a cut when generating.
block Gated(dim: int, rate: float) {
  gate: Linear(dim, dim)

  /// The gates of the normed tokens, and the loss on them. The gradient of gates stays out of the stream.
  open(n: f32[B, T, dim]) -> f32[B, T, dim] {
    g = sigmoid(gate(stop_gradient(n)))
    if train { loss closed = rate * mean(g) }
    g
  }
}

/// A layer with such a gate at attention and at the network. Keys are those of all tokens.
block GatedLayer(dim: int, heads: int, hidden: int, keep: ratio, cut: float, rate: float) {
  attn_norm: RMSNorm(dim)
  attn:      Attention(dim, heads)
  attn_gate: Gated(dim, rate)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, hidden)
  mlp_gate:  Gated(dim, rate)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    n = attn_norm(x)
    g = attn_gate.open(n)
    if train {
      x = x + attn(n) * g
    } else {
      worth   = mean(g, axis: -1)
      attends = if generate then above(worth, cut, expected: keep) else top(worth, ceil(keep * T))
      observe attends
      x = put(x, attends, take(attn(n) * g, attends))
    }
    n = mlp_norm(x)
    g = mlp_gate.open(n)
    if train {
      x + mlp(n) * g
    } else {
      worth  = mean(g, axis: -1)
      thinks = if generate then above(worth, cut, expected: keep) else top(worth, ceil(keep * T))
      observe thinks
      put(x, thinks, take(mlp(n) * g, thinks))
    }
  }
}

/// A decoder of such layers.
model GateSkip(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  context: int = 256,
  keep: ratio = 75%, cut: float = 0.3, rate: float = 0.1,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: GatedLayer(dim, heads, hidden, keep, cut, rate)]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
