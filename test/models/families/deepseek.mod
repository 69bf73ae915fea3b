import { Embedding, Linear, MoE, Residual, RMSNorm, SharedMoE } from "std"

/// Radians a position by which each pair of a head's dimensions turns: theta 10000, scaled by yarn, factor 4 of 32 positions.
const frequencies = [
  1.0, 0.13465216812699274, 0.011603972084031949, 0.0025, 5.386086725079711e-4,
  1.1603972084031943e-4,
]

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are made
/// from one short row of each token. A part of each head is rotated; that of the keys is one for all heads.
block Attention(
  dim: int, heads: int, query_rank: int, key_rank: int, still: int, turned: int, value: int,
) {
  q_a:     Linear(dim, query_rank, bias: false)
  q_norm:  RMSNorm(query_rank, eps: 1e-6)
  q_b:     Linear(query_rank, heads * (still + turned), bias: false)
  kv_a:    Linear(dim, key_rank + turned, bias: false)
  kv_norm: RMSNorm(key_rank, eps: 1e-6)
  kv_b:    Linear(key_rank, heads * (still + value), bias: false)
  o:       Linear(heads * value, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rearrange(q_b(q_norm(q_a(x))), "b t (h d) -> b h t d", h: heads)
    (low, shared) = split(kv_a(x), [key_rank, turned], axis: -1)
    kv       = rearrange(kv_b(kv_norm(low)), "b t (h d) -> b h t d", h: heads)
    q_turned = rope(
      rearrange(q[..., still:], "b h t (d two) -> b h t (two d)", two: 2),
      frequencies: frequencies, scale: 1.0249579607969668,
    )
    k_turned = rope(
      rearrange(shared, "b t (d two) -> b t (two d)", two: 2), frequencies: frequencies,
      scale: 1.0249579607969668,
    )[:, None] +
      zeros(like: q_turned)
    q        = concat([q[..., 0:still], q_turned], axis: -1)
    k        = concat([kv[..., 0:still], k_turned], axis: -1)
    y        = attention(q, k, kv[..., still:], causal: true, scale: 0.21816130317415047)
    o(rearrange(y, "b h t d -> b t (h d)"))
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
  dim: int, heads: int, query_rank: int, key_rank: int, still: int, turned: int, value: int,
  eps: float, mlp: block,
) {
  attn_norm: RMSNorm(dim, eps: eps)
  attn:      Attention(dim, heads, query_rank, key_rank, still, turned, value)
  mlp_norm:  RMSNorm(dim, eps: eps)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// DeepseekV3ForCausalLM, from its config.json; each weight has its name in the checkpoint.
model DeepSeek(
  vocab: int = 96, dim: int = 64, heads: int = 4, query_rank: int = 40, key_rank: int = 28,
  still: int = 20, turned: int = 12, value: int = 18, hidden: int = 96, dense: int = 1,
  experts: int = 12, k: int = 3, expert_hidden: int = 24, shared_hidden: int = 48, depth: int = 3,
  context: int = 128, eps: float = 1e-5,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             Residual(
               DecoderLayer(
                 dim, heads, query_rank, key_rank, still, turned, value, eps,
                 if i < dense then MLP(dim, hidden)
                 else SharedMoE(
                   MoE(
                     [for e in 0..experts: MLP(dim, expert_hidden)], dim, k, gate: "sigmoid",
                     renormalize: true, scale: 2.5, groups: 4, open: 2, loss_free: true,
                   ), MLP(dim, shared_hidden), dim,
                 ),
               ),
             )]
  norm:   RMSNorm(dim, eps: eps)
  head:   Linear(dim, vocab, bias: false)

  names {
    "embed.table"                                       = "model.embed_tokens.weight"
    "layers.{i}.inner.attn.q_a.weight"                  = "model.layers.{i}.self_attn.q_a_proj.weight"
    "layers.{i}.inner.attn.q_norm.weight"               = "model.layers.{i}.self_attn.q_a_layernorm.weight"
    "layers.{i}.inner.attn.q_b.weight"                  = "model.layers.{i}.self_attn.q_b_proj.weight"
    "layers.{i}.inner.attn.kv_a.weight"                 = "model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight"
    "layers.{i}.inner.attn.kv_norm.weight"              = "model.layers.{i}.self_attn.kv_a_layernorm.weight"
    "layers.{i}.inner.attn.kv_b.weight"                 = "model.layers.{i}.self_attn.kv_b_proj.weight"
    "layers.{i}.inner.attn.o.weight"                    = "model.layers.{i}.self_attn.o_proj.weight"
    "layers.{i}.inner.mlp.gate.weight"                  = "model.layers.{i}.mlp.gate_proj.weight"
    "layers.{i}.inner.mlp.up.weight"                    = "model.layers.{i}.mlp.up_proj.weight"
    "layers.{i}.inner.mlp.down.weight"                  = "model.layers.{i}.mlp.down_proj.weight"
    "layers.{i}.inner.mlp.moe.router.weight"            = "model.layers.{i}.mlp.gate.weight"
    "layers.{i}.inner.mlp.moe.bias"                     = "model.layers.{i}.mlp.gate.e_score_correction_bias"
    "layers.{i}.inner.mlp.moe.experts.{e}.{p}.weight"   = "model.layers.{i}.mlp.experts.{e}.{p}_proj.weight"
    "layers.{i}.inner.mlp.shared.{p}.weight"            = "model.layers.{i}.mlp.shared_experts.{p}_proj.weight"
    "layers.{i}.inner.attn_norm.weight"                 = "model.layers.{i}.input_layernorm.weight"
    "layers.{i}.inner.mlp_norm.weight"                  = "model.layers.{i}.post_attention_layernorm.weight"
    "norm.weight"                                       = "model.norm.weight"
    "head.weight"                                       = "lm_head.weight"
    ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"
    ignore "model.layers.3.{a}.weight"
    ignore "model.layers.3.{a}.{b}.weight"
    ignore "model.layers.3.mlp.gate.e_score_correction_bias"
    ignore "model.layers.3.mlp.{a}.{b}.weight"
    ignore "model.layers.3.mlp.experts.{e}.{p}.weight"
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
