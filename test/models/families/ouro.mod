import { Embedding, Linear, RMSNorm } from "std"

/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(dim: int, heads: int, kv_heads: int, head_dim: int, theta: float) {
  q: Linear(dim, heads * head_dim, bias: false)
  k: Linear(dim, kv_heads * head_dim, bias: false)
  v: Linear(dim, kv_heads * head_dim, bias: false)
  o: Linear(heads * head_dim, dim, bias: false)

  /// Queries of the tokens of x, keys and values of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {
    q = rope(rearrange(q(x), "b t (h d) -> b h t d", h: heads), theta)
    k = rope(rearrange(k(all), "b t (h d) -> b h t d", h: kv_heads), theta)
    v = rearrange(v(all), "b t (h d) -> b h t d", h: kv_heads)
    o(rearrange(attention(q, k, v, causal: true), "b h t d -> b t (h d)"))
  }
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }
}

/// A gated network on each token.
block MLP(dim: int, hidden: int) {
  gate: Linear(dim, hidden, bias: false)
  up:   Linear(dim, hidden, bias: false)
  down: Linear(hidden, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { down(silu(gate(x)) * up(x)) }
}

/// A layer with a norm before and behind each half (sandwich). It returns its update only.
block DecoderLayer(
  dim: int, heads: int, kv_heads: int, head_dim: int, hidden: int, theta: float, eps: float,
) {
  attn_norm:     RMSNorm(dim, eps: eps)
  attn:          Attention(dim, heads, kv_heads, head_dim, theta)
  attn_out_norm: RMSNorm(dim, eps: eps)
  mlp_norm:      RMSNorm(dim, eps: eps)
  mlp:           MLP(dim, hidden)
  mlp_out_norm:  RMSNorm(dim, eps: eps)

  /// The update of the tokens of x, by keys of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {
    a = attn_out_norm(attn.attend(attn_norm(x), attn_norm(all)))
    a + mlp_out_norm(mlp(mlp_norm(x + a)))
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }
}

/// OuroForCausalLM, from its config.json; each weight has its name in the checkpoint.
/// All layers run up to `loops` times, and the final norm behind each (Ouro,
/// Zhu et al. 2025, arXiv 2510.25741). After a loop a gate says with which
/// probability a token ends there; it leaves once the probability that it has
/// ended is `threshold`, and computes nothing more. `keys`: "own", a loop
/// attends to the tokens that run it, and its caches have those alone; "all", a
/// token that has left gives keys and values to later loops too, of the state
/// it left with. At a threshold of 1 nobody leaves, and both are the published
/// model.
model Ouro(
  vocab: int = 96, dim: int = 2048, heads: int = 4, kv_heads: int = 4, head_dim: int = 512,
  hidden: int = 5632, depth: int = 24, context: int = 128, theta: float = 1000000.0,
  eps: float = 1e-6, loops: int = 4, keys: string = "own", live threshold: float = 1.0,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: DecoderLayer(dim, heads, kv_heads, head_dim, hidden, theta, eps)]
  norm:   RMSNorm(dim, eps: eps)
  exit:   Linear(dim, 1)
  head:   Linear(dim, vocab, bias: false)

  names {
    "embed.table"                       = "model.embed_tokens.weight"
    "layers.{i}.attn.{p}.weight"        = "model.layers.{i}.self_attn.{p}_proj.weight"
    "layers.{i}.mlp.{p}.weight"         = "model.layers.{i}.mlp.{p}_proj.weight"
    "layers.{i}.attn_norm.weight"       = "model.layers.{i}.input_layernorm.weight"
    "layers.{i}.mlp_norm.weight"        = "model.layers.{i}.post_attention_layernorm.weight"
    "layers.{i}.attn_out_norm.weight"   = "model.layers.{i}.input_layernorm_2.weight"
    "layers.{i}.mlp_out_norm.weight"    = "model.layers.{i}.post_attention_layernorm_2.weight"
    "exit.{w}"                          = "model.early_exit_gate.{w}"
    "norm.weight"                       = "model.norm.weight"
    "head.weight"                       = "lm_head.weight"
    ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"
  }

  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = x + layer(x) }
    x     = norm(x)
    left  = 1.0
    ended = 0.0
    if keys == "own" {
      rows   = x                        // the tokens that still run
      routes = []
      ends   = []
      for r in 1..loops {
        p     = sigmoid(exit(rows)[..., 0])
        ended = ended + p * left
        left  = left * (1.0 - p)
        ends  = ends + [where((ended < threshold)[..., None], 0.0, rows)]
        going = those(ended < threshold)
        observe going
        routes = routes + [going]
        rows   = take(rows, going)
        ended  = take(ended, going)
        left   = take(left, going)
        for layer in layers { rows = rows + layer(rows) }
        rows = norm(rows)
      }
      // From the last loop outwards, what ended later is put among the tokens that it was chosen from.
      x = rows
      for r in 1..loops { x = put(ends[loops - 1 - r], routes[loops - 1 - r], x) }
    } else if keys == "all" {
      for r in 1..loops {
        p     = sigmoid(exit(x)[..., 0])
        ended = ended + p * left
        left  = left * (1.0 - p)
        going = those(ended < threshold)
        observe going
        still = where((ended < threshold)[..., None], 0.0, x)
        rows  = take(x, going)
        for layer in layers { rows = rows + layer.attend(rows, put(still, going, rows)) }
        x = put(still, going, norm(rows))
      }
    } else {
      x = [][0]                       // a fault, so that no other `keys` is taken for "all"
    }
    head(x)
  }

  /// The loss of the logits that are expected where the gates are drawn from, over all loops.
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    x        = embed(tokens)
    left     = zeros(like: x[..., 0]) + 1.0
    expected = 0.0
    for r in 0..loops {
      for layer in layers { x = x + layer(x) }
      x        = norm(x)
      p        = if r < loops - 1 then sigmoid(exit(x)[..., 0]) * left else left
      expected = expected + head(x) * p[..., None]
      left     = left - p
    }
    loss next_token = cross_entropy(expected, targets)
  }
}
