import { Embedding, Linear, MoD, Residual, RMSNorm } from "std"

/// How far each layer sees, itself included; 0 for no limit.
const windows = [7, 0, 7]

/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(
  dim: int, heads: int, kv_heads: int, head_dim: int, theta: float, eps: float, window: int,
) {
  q:      Linear(dim, heads * head_dim, bias: false)
  k:      Linear(dim, kv_heads * head_dim, bias: false)
  v:      Linear(dim, kv_heads * head_dim, bias: false)
  o:      Linear(heads * head_dim, dim, bias: false)
  q_norm: RMSNorm(head_dim, eps: eps)
  k_norm: RMSNorm(head_dim, eps: eps)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rope(q_norm(rearrange(q(x), "b t (h d) -> b h t d", h: heads)), theta)
    k = rope(k_norm(rearrange(k(x), "b t (h d) -> b h t d", h: kv_heads)), theta)
    v = rearrange(v(x), "b t (h d) -> b h t d", h: kv_heads)
    o(rearrange(attention(q, k, v, causal: true, window: window), "b h t d -> b t (h d)"))
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
  window: int,
) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn:      Attention(dim, heads, kv_heads, head_dim, theta, eps, window)
  mlp_norm:  RMSNorm(dim, eps: eps)
  mlp:       MLP(dim, hidden)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// Qwen3ForCausalLM, from its config.json; each weight has its name in the checkpoint.
/// Every `every`-th layer is a Mixture-of-Depths layer. At a capacity of 100% with the weights it was converted with
/// it computes what the dense model does, to rounding. Lower the capacity while training the routers and predictors:
/// modc train --only router,guess --router-lr 1e-2 --live-schedule capacity=100%@0,12.5%@50%
model Qwen3(
  vocab: int = 96, dim: int = 64, heads: int = 4, kv_heads: int = 2, head_dim: int = 32,
  hidden: int = 112, depth: int = 3, context: int = 128, theta: float = 10000.0, eps: float = 1e-6,
  every: int = 2, live capacity: ratio = 100%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % every == every - 1 then MoD(
               DecoderLayer(dim, heads, kv_heads, head_dim, hidden, theta, eps, windows[i]), dim,
               capacity, gate: "identity",
             )
             else Residual(
               DecoderLayer(dim, heads, kv_heads, head_dim, hidden, theta, eps, windows[i]),
             )]
  norm:   RMSNorm(dim, eps: eps)
  head:   Linear(dim, vocab, bias: false)

  names {
    "embed.table"                           = "model.embed_tokens.weight"
    "layers.{i}.inner.attn.q.weight"        = "model.layers.{i}.self_attn.q_proj.weight"
    "layers.{i}.inner.attn.k.weight"        = "model.layers.{i}.self_attn.k_proj.weight"
    "layers.{i}.inner.attn.v.weight"        = "model.layers.{i}.self_attn.v_proj.weight"
    "layers.{i}.inner.attn.o.weight"        = "model.layers.{i}.self_attn.o_proj.weight"
    "layers.{i}.inner.attn.{p}_norm.weight" = "model.layers.{i}.self_attn.{p}_norm.weight"
    "layers.{i}.inner.mlp.{p}.weight"       = "model.layers.{i}.mlp.{p}_proj.weight"
    "layers.{i}.inner.attn_norm.weight"     = "model.layers.{i}.input_layernorm.weight"
    "layers.{i}.inner.mlp_norm.weight"      = "model.layers.{i}.post_attention_layernorm.weight"
    "norm.weight"                           = "model.norm.weight"
    "head.weight"                           = "lm_head.weight"
    ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"
  }

  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    head(norm(x))
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
