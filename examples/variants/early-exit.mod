import { Attention, Embedding, RMSNorm, SwiGLU } from "std"

/// A layer whose queries may be fewer than its keys.
block Deeper(dim: int, heads: int, hidden: int) {
  attn_norm: RMSNorm(dim)
  attn:      Attention(dim, heads)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, hidden)

  /// The update of the tokens that go on, by keys of all: those that have ended give theirs of what they were then.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {
    a = attn.attend(attn_norm(x), attn_norm(all))
    a + mlp(mlp_norm(x + a))
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }
}

/// Early exit (CALM, Schuster et al. 2022, arXiv 2207.07061; FREE, Bae et al. 2023, arXiv 2310.05424): a token that
/// is sure of its next one, its best two probabilities apart by more than `cut`, keeps its state. The layers above
/// make keys and values of that state all the same, so no token misses one. Training goes through all layers, with a
/// loss after each, that of the i-th in proportion to i.
model EarlyExit(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  context: int = 256,
  cut: float = 0.9, expected: ratio = 80%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Deeper(dim, heads, hidden)]
  norm:   RMSNorm(dim)
  exits:  [for i in 0..depth: Exit()]

  logits(x: f32[B, T, dim]) -> f32[B, T, vocab] { norm(x) @ transpose(embed.table) }

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x  = embed(tokens)
    x  = x + layers[0](x)
    on = zeros(like: tokens) == 0
    for i in 1..depth {
      two   = take(softmax(logits(x)), top(logits(x), 2, axis: -1))
      on    = on and abs(two[..., 0] - two[..., 1]) <= cut
      going = those(on, expected: expected)
      observe going
      x = put(x, going, layers[i].attend(take(x, going), x))
    }
    logits(x)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    x = embed(tokens)
    for i in 0..depth {
      x = x + layers[i](x)
      exits[i](logits(x), targets, 2 * (i + 1) / (depth * (depth + 1)))
    }
  }
}

/// The loss of one exit, under its own name.
block Exit() {
  forward(logits: f32[B, T, V], targets: u32[B, T], share: f32[]) {
    loss exit = share * cross_entropy(logits, targets)
  }
}
