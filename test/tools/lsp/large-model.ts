// A model of about a thousand lines: kinds of routed layers, every kind with different blocks.

/** Seventeen kinds make 918 lines. */
export function largeModel(kinds: number): string {
  const each = (line: (i: number) => string): string => Array.from({ length: kinds }, (_, i) => line(i)).join("\n");
  return `import { Embedding, Linear, RMSNorm, Predictor } from "std"

${each(blocksOf)}

/// Runs all blocks in order.
model Large(vocab: int = 256, dim: int = 128, heads: int = 4, context: int = 256) {
  embed: Embedding(vocab, dim)
${each((i) => `  layer${i}: Routed${i}(dim, heads)`)}
  norm: RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
${each((i) => `    x = layer${i}(x)`)}
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
`;
}

const blocksOf = (i: number): string => `/// Attention number ${i}.
block Attention${i}(dim: int, heads: int, theta: float = 10000.0) {
  q: Linear(dim, dim, bias: false)
  k: Linear(dim, dim, bias: false)
  v: Linear(dim, dim, bias: false)
  o: Linear(dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    qs = rearrange(q(x), "b t (h d) -> b h t d", h: heads)
    ks = rearrange(k(x), "b t (h d) -> b h t d", h: heads)
    vs = rearrange(v(x), "b t (h d) -> b h t d", h: heads)
    y = attention(rope(qs, theta), rope(ks, theta), vs, causal: true)
    o(rearrange(y, "b h t d -> b t (h d)"))
  }
}

/// Feed-forward network number ${i}.
block Mlp${i}(dim: int, hidden: int = 4 * dim) {
  gate: Linear(dim, hidden, bias: false)
  up:   Linear(dim, hidden, bias: false)
  down: Linear(hidden, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    g = silu(gate(x))
    u = up(x)
    down(g * u)
  }
}

/// Layer number ${i}, whose tokens are routed.
block Routed${i}(dim: int, heads: int, capacity: ratio = 12.5%) {
  attn_norm: RMSNorm(dim)
  attn:      Attention${i}(dim, heads)
  mlp_norm:  RMSNorm(dim)
  mlp:       Mlp${i}(dim)
  router:    Linear(dim, 1, bias: false)
  guess:     Predictor(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]
    likely = guess(stop_gradient(x))[..., 0]
    chosen = if generate then above(likely, 0.0, expected: capacity) else top(score, ceil(capacity * T))
    if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
    observe chosen
    y = take(x, chosen)
    r = take(score, chosen)[..., None]
    a = attn(attn_norm(y))
    put(x, chosen, (a + mlp(mlp_norm(y + a))) * sigmoid(r))
  }
}
`;
