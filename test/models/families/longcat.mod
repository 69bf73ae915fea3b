import { Embedding, Linear, Residual, RMSNorm, Same } from "std"

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are made
/// from one short row of each token. A part of each head is rotated; that of the keys is one for all heads.
block Attention(
  dim: int, heads: int, query_rank: int, key_rank: int, still: int, turned: int, value: int,
  theta: float,
) {
  q_a:     Linear(dim, query_rank, bias: false)
  q_norm:  RMSNorm(query_rank, eps: 1e-6)
  q_b:     Linear(query_rank, heads * (still + turned), bias: false)
  kv_a:    Linear(dim, key_rank + turned, bias: false)
  kv_norm: RMSNorm(key_rank, eps: 1e-6)
  kv_b:    Linear(key_rank, heads * (still + value), bias: false)
  o:       Linear(heads * value, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rearrange(q_b(q_norm(q_a(x))), "b t (h d) -> b h t d", h: heads) * 1.3333333333333333
    (low, shared) = split(kv_a(x), [key_rank, turned], axis: -1)
    kv       = rearrange(kv_b(kv_norm(low) * 1.5118578920369088), "b t (h d) -> b h t d", h: heads)
    q_turned = rope(rearrange(q[..., still:], "b h t (d two) -> b h t (two d)", two: 2), theta)
    k_turned = rope(rearrange(shared, "b t (d two) -> b t (two d)", two: 2), theta)[:, None] +
      zeros(like: q_turned)
    q        = concat([q[..., 0:still], q_turned], axis: -1)
    k        = concat([kv[..., 0:still], k_turned], axis: -1)
    y        = attention(q, k, kv[..., still:], causal: true)
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

/// Mixture of experts of which some give back their input (LongCat-Flash, arXiv 2509.01322). A bias
/// lifts scores for the choice; training moves it towards `real` experts with weights for a token, spread evenly.
block ZeroMoE(
  dim: int, hidden: int, experts: int, same: int, k: int, rate: float = 0.001, real: float = 2.0,
) {
  router: Linear(dim, experts + same, bias: false)
  expert: [for e in 0..experts: MLP(dim, hidden)] + [for z in 0..same: Same()]
  state bias: f32[experts + same]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = softmax(router(x))
    chosen = top(score + bias, k, axis: -1)
    observe chosen
    if train {
      share = mean(f32(chosen.mask), axis: [0, 1]) / k
      update bias = concat(
        [bias[0:experts] + rate * (real / k / experts - share[0:experts]), bias[experts:]], axis: 0,
      )
    }
    sum(expert[chosen](x) * (6.0 * take(score, chosen))[..., None], axis: -2)
  }
}

/// A layer of two halves, attention and a network each. A mixture of experts lies beside the second
/// (ScMoE, arXiv 2404.05019). It returns its update only.
block DecoderLayer(
  dim: int, heads: int, query_rank: int, key_rank: int, still: int, turned: int, value: int,
  hidden: int, theta: float, eps: float, moe: block,
) {
  attn_norm: [for n in 0..2: RMSNorm(dim, eps: eps)]
  attn:      [for n in 0..2:
                Attention(dim, heads, query_rank, key_rank, still, turned, value, theta)]
  mlp_norm:  [for n in 0..2: RMSNorm(dim, eps: eps)]
  mlp:       [for n in 0..2: MLP(dim, hidden)]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a      = attn[0](attn_norm[0](x))
    y      = mlp_norm[0](x + a)
    beside = moe(y)
    a      = a + mlp[0](y)
    a      = a + attn[1](attn_norm[1](x + a))
    a + mlp[1](mlp_norm[1](x + a)) + beside
  }
}

/// LongcatFlashForCausalLM, from its config.json; each weight has its name in the checkpoint.
model LongCat(
  vocab: int = 96, dim: int = 64, heads: int = 4, query_rank: int = 36, key_rank: int = 28,
  still: int = 20, turned: int = 12, value: int = 16, hidden: int = 72, experts: int = 6,
  same: int = 3, k: int = 3, expert_hidden: int = 24, depth: int = 2, context: int = 128,
  theta: float = 10000000.0, eps: float = 1e-5,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             Residual(
               DecoderLayer(
                 dim, heads, query_rank, key_rank, still, turned, value, hidden, theta, eps,
                 ZeroMoE(dim, expert_hidden, experts, same, k),
               ),
             )]
  norm:   RMSNorm(dim, eps: eps)
  head:   Linear(dim, vocab, bias: false)

  names {
    "embed.table"                                   = "model.embed_tokens.weight"
    "layers.{i}.inner.attn.{n}.q_a.weight"          = "model.layers.{i}.self_attn.{n}.q_a_proj.weight"
    "layers.{i}.inner.attn.{n}.q_norm.weight"       = "model.layers.{i}.self_attn.{n}.q_a_layernorm.weight"
    "layers.{i}.inner.attn.{n}.q_b.weight"          = "model.layers.{i}.self_attn.{n}.q_b_proj.weight"
    "layers.{i}.inner.attn.{n}.kv_a.weight"         = "model.layers.{i}.self_attn.{n}.kv_a_proj_with_mqa.weight"
    "layers.{i}.inner.attn.{n}.kv_norm.weight"      = "model.layers.{i}.self_attn.{n}.kv_a_layernorm.weight"
    "layers.{i}.inner.attn.{n}.kv_b.weight"         = "model.layers.{i}.self_attn.{n}.kv_b_proj.weight"
    "layers.{i}.inner.attn.{n}.o.weight"            = "model.layers.{i}.self_attn.{n}.o_proj.weight"
    "layers.{i}.inner.mlp.{n}.{p}.weight"           = "model.layers.{i}.mlps.{n}.{p}_proj.weight"
    "layers.{i}.inner.moe.router.weight"            = "model.layers.{i}.mlp.router.classifier.weight"
    "layers.{i}.inner.moe.bias"                     = "model.layers.{i}.mlp.router.e_score_correction_bias"
    "layers.{i}.inner.moe.expert.{e}.{p}.weight"    = "model.layers.{i}.mlp.experts.{e}.{p}_proj.weight"
    "layers.{i}.inner.attn_norm.{n}.weight"         = "model.layers.{i}.input_layernorm.{n}.weight"
    "layers.{i}.inner.mlp_norm.{n}.weight"          = "model.layers.{i}.post_attention_layernorm.{n}.weight"
    "norm.weight"                                   = "model.norm.weight"
    "head.weight"                                   = "lm_head.weight"
    ignore "model.layers.{i}.self_attn.rotary_emb.inv_freq"
    ignore "model.mtp.{a}.{b}"
    ignore "model.mtp.{a}.{b}.{c}"
    ignore "model.mtp.{a}.{b}.{c}.{d}"
    ignore "model.mtp.{a}.{b}.{c}.{d}.{e}"
    ignore "model.mtp.{a}.{b}.{c}.{d}.{e}.{f}"
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
