import { Attention, Embedding, Layer, Linear, Residual, RMSNorm, SwiGLU } from "std"

/// A layer of FlexiDepth (Luo et al. 2025, arXiv 2503.23798): tokens whose gate is above one half go through
/// attention and network, times the gate; the others through a small adapter, times the rest of it. Keys are those of
/// all tokens, so later ones find a whole context.
block Flexible(dim: int, heads: int, kv_heads: int, hidden: int, expected: ratio) {
  router_norm: RMSNorm(dim)
  router_down: Linear(dim, dim / 16, bias: false)
  router_up:   Linear(dim / 16, dim, bias: false)
  router:      Linear(dim, 1, bias: false)
  attn_norm:   RMSNorm(dim)
  attn:        Attention(dim, heads, kv_heads)
  mlp_norm:    RMSNorm(dim)
  mlp:         SwiGLU(dim, hidden)
  adapter:     SwiGLU(dim, hidden / 16)

  /// The stream, and the gates.
  forward(x: f32[B, T, dim]) -> (x: f32[B, T, dim], gates: f32[B, T]) {
    g    = sigmoid(router(router_up(tanh(router_down(router_norm(x)))))[..., 0])
    run  = above(g, 0.5, expected: expected)
    rest = those(not run.mask, expected: 100% - expected)
    observe run
    n = attn_norm(x)
    h = put(x, run, attn.attend(take(n, run), n))
    m = mlp_norm(h)
    y = put(h, run, mlp(take(m, run)) * take(g, run)[..., None])
    (put(y, rest, adapter(take(m, rest)) * (1 - take(g, rest))[..., None]), g)
  }
}

/// A decoder whose second half are such layers, as in Llama-3-8B there: `dense` says how many of the first are plain.
/// The loss is the square of the gates' sum over layers, which falls hardest on tokens that run in many.
model FlexiDepth(
  vocab: int = 256, dim: int = 128, heads: int = 4, kv_heads: int = heads, hidden: int = 352,
  depth: int = 6, dense: int = floor(depth / 2), context: int = 256,
  expected: ratio = 50%, rate: float = 0.001,
) {
  embed:  Embedding(vocab, dim)
  first:  [for i in 0..dense: Residual(Layer(dim, heads, kv_heads, hidden))]
  layers: [for i in dense..depth: Flexible(dim, heads, kv_heads, hidden, expected)]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in first { x = layer(x) }
    all = 0.0
    for layer in layers {
      (x, gates) = layer(x)
      all = all + gates
    }
    if train { loss skipping = rate * mean(all ^ 2) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
