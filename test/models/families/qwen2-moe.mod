import { Embedding, Linear, MoE, Residual, RMSNorm, SharedMoE } from "std"

/// Which layers have a mixture of experts.
const mixed = [true, false, true]

/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(dim: int, heads: int, kv_heads: int, head_dim: int, theta: float) {
  q: Linear(dim, heads * head_dim, bias: true)
  k: Linear(dim, kv_heads * head_dim, bias: true)
  v: Linear(dim, kv_heads * head_dim, bias: true)
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
  dim: int, heads: int, kv_heads: int, head_dim: int, theta: float, eps: float, mlp: block,
) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn:      Attention(dim, heads, kv_heads, head_dim, theta)
  mlp_norm:  RMSNorm(dim, eps: eps)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// Qwen2MoeForCausalLM, from its config.json; each weight has its name in the checkpoint.
model Qwen2MoE(
  vocab: int = 96, dim: int = 64, heads: int = 4, kv_heads: int = 2, head_dim: int = 16,
  hidden: int = 80, experts: int = 5, k: int = 2, expert_hidden: int = 24, shared_hidden: int = 56,
  depth: int = 3, context: int = 128, theta: float = 1000000.0, eps: float = 1e-5,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             Residual(
               DecoderLayer(
                 dim, heads, kv_heads, head_dim, theta, eps,
                 if not mixed[i] then MLP(dim, hidden)
                 else SharedMoE(
                   MoE([for e in 0..experts: MLP(dim, expert_hidden)], dim, k),
                   MLP(dim, shared_hidden), dim, gated: true,
                 ),
               ),
             )]
  norm:   RMSNorm(dim, eps: eps)
  head:   Linear(dim, vocab, bias: false)

  names {
    "embed.table"                                       = "model.embed_tokens.weight"
    "layers.{i}.inner.attn.{p}.weight"                  = "model.layers.{i}.self_attn.{p}_proj.weight"
    "layers.{i}.inner.attn.q.bias"                      = "model.layers.{i}.self_attn.q_proj.bias"
    "layers.{i}.inner.attn.k.bias"                      = "model.layers.{i}.self_attn.k_proj.bias"
    "layers.{i}.inner.attn.v.bias"                      = "model.layers.{i}.self_attn.v_proj.bias"
    "layers.{i}.inner.mlp.gate.weight"                  = "model.layers.{i}.mlp.gate_proj.weight"
    "layers.{i}.inner.mlp.up.weight"                    = "model.layers.{i}.mlp.up_proj.weight"
    "layers.{i}.inner.mlp.down.weight"                  = "model.layers.{i}.mlp.down_proj.weight"
    "layers.{i}.inner.mlp.moe.router.weight"            = "model.layers.{i}.mlp.gate.weight"
    "layers.{i}.inner.mlp.moe.experts.{e}.{p}.weight"   = "model.layers.{i}.mlp.experts.{e}.{p}_proj.weight"
    "layers.{i}.inner.mlp.shared.{p}.weight"            = "model.layers.{i}.mlp.shared_expert.{p}_proj.weight"
    "layers.{i}.inner.mlp.shared_gate.weight"           = "model.layers.{i}.mlp.shared_expert_gate.weight"
    "layers.{i}.inner.attn_norm.weight"                 = "model.layers.{i}.input_layernorm.weight"
    "layers.{i}.inner.mlp_norm.weight"                  = "model.layers.{i}.post_attention_layernorm.weight"
    "norm.weight"                                       = "model.norm.weight"
    "head.weight"                                       = "lm_head.weight"
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
