import { Embedding, Linear, Residual, RMSNorm } from "std"

/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(dim: int, heads: int, kv_heads: int, head_dim: int, theta: float) {
  q: Linear(dim, heads * head_dim, bias: false)
  k: Linear(dim, kv_heads * head_dim, bias: false)
  v: Linear(dim, kv_heads * head_dim, bias: false)
  o: Linear(heads * head_dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rope(rearrange(q(x), "b t (h d) -> b h t d", h: heads), theta)
    k = rope(rearrange(k(x), "b t (h d) -> b h t d", h: kv_heads), theta)
    v = rearrange(v(x), "b t (h d) -> b h t d", h: kv_heads)
    o(rearrange(attention(q, k, v, causal: true), "b h t d -> b t (h d)"))
  }
}

/// A gated network on each token.
block MLP(dim: int, hidden: int) {
  gate: Linear(dim, hidden, bias: false)
  up:   Linear(dim, hidden, bias: false)
  down: Linear(hidden, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { down(silu(gate(x)) * up(x)) }
}

/// A pre-norm layer. It returns its update only.
block DecoderLayer(
  dim: int, heads: int, kv_heads: int, head_dim: int, hidden: int, theta: float, eps: float,
) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn:      Attention(dim, heads, kv_heads, head_dim, theta)
  mlp_norm:  RMSNorm(dim, eps: eps)
  mlp:       MLP(dim, hidden)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// LlamaForCausalLM, from its config.json; each weight has its name in the checkpoint.
model Llama(
  vocab: int = 49152, dim: int = 576, heads: int = 9, kv_heads: int = 3, head_dim: int = 64,
  hidden: int = 1536, depth: int = 30, context: int = 8192, theta: float = 100000.0,
  eps: float = 1e-5,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             Residual(DecoderLayer(dim, heads, kv_heads, head_dim, hidden, theta, eps))]
  norm:   RMSNorm(dim, eps: eps)

  names {
    "embed.table"                       = "model.embed_tokens.weight" or "lm_head.weight"
    "layers.{i}.inner.attn.{p}.weight"  = "model.layers.{i}.self_attn.{p}_proj.weight"
    "layers.{i}.inner.mlp.{p}.weight"   = "model.layers.{i}.mlp.{p}_proj.weight"
    "layers.{i}.inner.attn_norm.weight" = "model.layers.{i}.input_layernorm.weight"
    "layers.{i}.inner.mlp_norm.weight"  = "model.layers.{i}.post_attention_layernorm.weight"
    "norm.weight"                       = "model.norm.weight"
    ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"
  }

  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
