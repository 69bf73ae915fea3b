import { Linear } from "./linear.mod"
import { RMSNorm } from "./norm.mod"
import { DeltaRule, L2Norm, ShortConv } from "./recurrent.mod"

/// The documents of packed tokens: their numbers, from 1, and the position at which each began. A document ends with the
/// separator. As a mask: `doc[:, :, None] == doc[:, None, :]`; positions that begin anew: `position(tokens) - start`.
block Documents(
  /// The token that ends a document.
  separator: int,
) {
  forward(tokens: u32[B, T]) -> (doc: u32[B, T], start: u32[B, T]) {
    at     = position(tokens)
    begins = at == 0 or earlier(tokens, 1) == separator
    (u32(scan(f32(begins))), u32(scan(where(begins, f32(at), 0.0), fresh: begins)))
  }
}

/// Dynamic chunks (H-Net; Hwang et al. 2025, arXiv 2507.07955, section 2.2): a chunk begins if a token is unlike the token
/// before it. `inner` computes one row for each chunk; smoothed by their probabilities, each row holds until the next chunk.
/// Returns what replaces the stream: these rows and a linear map of x.
block Chunks(
  /// The main network: rows to rows.
  inner: block,
  /// Width of the stream.
  dim: int,
  /// Share of the tokens at which chunks shall begin.
  share: ratio = 1 / 6,
  /// Factor of the loss that holds the share (equation 10).
  rate: float = 0.03,
) {
  weight q:             f32[dim, dim] = orthogonal(1.0)
  weight k:             f32[dim, dim] = orthogonal(1.0)
  weight residual:      f32[dim, dim] = zeros
  weight residual_bias: f32[dim] = zeros

  /// The cosine of each token's key and the query of the token before it.
  likeness(x: f32[B, T, dim]) -> f32[B, T] {
    a = earlier(x, 1) @ transpose(q)
    b = x @ transpose(k)
    sum(a * b, axis: -1) *
      rsqrt(max(sum(a ^ 2, axis: -1), 1e-24)) *
      rsqrt(max(sum(b ^ 2, axis: -1), 1e-24))
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    first  = earlier(zeros(like: x[..., 0]) + 1.0, 1) == 0.0
    likely = where(first, 1.0, min(max(0.5 - 0.5 * likeness(x), 0.0), 1.0))
    begins = those(likely > 0.5, expected: share)
    observe begins
    if train {
      some = mean(f32(begins.mask))
      soft = mean(likely)
      loss chunks = rate /
        (1 - share) *
        ((1 - share) * some * soft + share * (1 - some) * (1 - soft))
    }
    p      = min(max(take(likely, begins), 0.0001), 0.9999)[..., None]
    smooth = scan(p * inner(take(x, begins)), log_decay: log(1 - p))
    held   = scan(put(zeros(like: x), begins, smooth), fresh: begins.mask)
    sure   = where(begins.mask, likely, 1 - likely)
    held *
      straight(zeros(like: sure) + 1.0, sure)[..., None] +
      x @
      transpose(residual) +
      residual_bias
  }
}

/// What the memories of a `Memories` block share: queries, convolutions and rates.
block MemoryParts(
  /// Width of the stream.
  dim: int,
  /// Heads of a memory.
  heads: int,
  /// Width of a head's keys.
  key_dim: int,
  /// Width of a head's values.
  value_dim: int,
  /// Number of rows of the short convolutions.
  width: int,
) {
  q:      Linear(dim, heads * key_dim, bias: false)
  q_conv: ShortConv(heads * key_dim, width)
  k_conv: ShortConv(heads * key_dim, width)
  v_conv: ShortConv(heads * value_dim, width)
  weight a_log:   f32[heads] = uniform(0.0, 2.77)
  weight dt_bias: f32[heads] = uniform(-6.9, -2.25)
  l2:   L2Norm()
  rule: DeltaRule()

  forward(
    x: f32[B, T, dim], k: f32[B, T, heads * key_dim], v: f32[B, T, heads * value_dim],
    b: f32[B, T, heads], a: f32[B, T, heads],
  ) -> f32[B, T, heads * value_dim] {
    queries = l2(rearrange(silu(q_conv(q(x))), "b t (h k) -> b h t k", h: heads))
    keys    = l2(rearrange(silu(k_conv(k)), "b t (h k) -> b h t k", h: heads))
    values  = rearrange(silu(v_conv(v)), "b t (h v) -> b h t v", h: heads)
    beta    = sigmoid(rearrange(b, "b t h -> b h t"))
    rate    = -exp(a_log)[:, None] * softplus(rearrange(a, "b t h -> b h t") + dt_bias[:, None])
    rearrange(
      rule(queries * rsqrt(tensor([key_dim])), keys, values, beta, rate), "b h t v -> b t (h v)",
    )
  }
}

/// A memory of a `Memories` block: the gated delta rule on the tokens that chose it.
block Memory(
  /// A `MemoryParts`, which several memories may share.
  parts: block,
  /// Width of the stream.
  dim: int,
  /// Heads of the memory.
  heads: int,
  /// Width of a head's keys.
  key_dim: int,
  /// Width of a head's values.
  value_dim: int,
) {
  k: Linear(dim, heads * key_dim, bias: false)
  v: Linear(dim, heads * value_dim, bias: false)
  b: Linear(dim, heads, bias: false)
  a: Linear(dim, heads, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, heads * value_dim] { parts(x, k(x), v(x), b(x), a(x)) }
}

/// Mixture-of-Memories (Du et al. 2025, arXiv 2502.13685), as flash-linear-attention's MomAttention: a token reads and
/// writes `active` of several memories, and one that all tokens share if `shared`. A memory that a token did not choose
/// neither decays nor moves. Returns its update.
block Memories(
  /// Width of the stream.
  dim: int,
  /// Heads of each memory.
  heads: int,
  /// How many memories there are.
  count: int = 8,
  /// How many of them a token chooses.
  active: int = 2,
  /// Width of a head's keys.
  key_dim: int = dim / heads,
  /// Width of a head's values.
  value_dim: int = 2 * key_dim,
  /// Whether one more memory is moved by all tokens.
  shared: bool = false,
  /// Number of rows of the short convolutions.
  width: int = 4,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-5,
) {
  router:   Linear(dim, count, bias: false)
  parts:    MemoryParts(dim, heads, key_dim, value_dim, width)
  memories: [for i in 0..count: Memory(parts, dim, heads, key_dim, value_dim)]
  if shared {
    all: Memory(parts, dim, heads, key_dim, value_dim)
  }
  gate: Linear(dim, heads * value_dim, bias: false)
  norm: RMSNorm(value_dim, eps)
  out:  Linear(heads * value_dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score  = softmax(router(x))
    chosen = top(score, active, axis: -1)
    observe chosen
    w    = take(score, chosen)
    rows = sum(memories[chosen](x) * (w / sum(w, axis: -1, keep: true))[..., None], axis: 2)
    if shared { rows = rows + all(x) }
    y = norm(rearrange(rows, "b t (h v) -> b t h v", h: heads))
    out(rearrange(y, "b t h v -> b t (h v)") * silu(gate(x)))
  }
}

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), as transformers' DeepseekV3Attention: keys and
/// values are maps of one narrow row of each token, and heads share the rotated part of keys. In phase generate, queries go
/// through the map of the keys instead, so a token's cache has latent + rotated numbers. Returns its update.
block MLA(
  /// Width of the stream.
  dim: int,
  /// Heads of the queries.
  heads: int,
  /// Width of the row that keys and values are made from.
  latent: int = 512,
  /// Width of the row that queries are made from; 0 for a map from the stream.
  query_latent: int = 0,
  /// Columns of a head's keys without position.
  plain: int = 128,
  /// Columns that are rotated; even.
  rotated: int = 64,
  /// Width of a head's values.
  value_dim: int = 128,
  /// Base of the rotary frequencies.
  theta: float = 10000.0,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-6,
) {
  if query_latent > 0 {
    q_down: Linear(dim, query_latent, bias: false)
    q_norm: RMSNorm(query_latent, eps)
    q_up:   Linear(query_latent, heads * (plain + rotated), bias: false)
  } else {
    q: Linear(dim, heads * (plain + rotated), bias: false)
  }
  /// The narrow row, then the rotated columns of the keys.
  kv_down: Linear(dim, latent + rotated, bias: false)
  kv_norm: RMSNorm(latent, eps)
  /// For each head: its keys' columns without position, then its values.
  kv_up: Linear(latent, heads * (plain + value_dim), bias: false)
  o:     Linear(heads * value_dim, dim, bias: false)

  /// Rotates pairs of neighbouring columns, in the order of the halves.
  turned(x: f32[B, H, T, rotated]) -> f32[B, H, T, rotated] {
    rope(rearrange(x, "b h t (d s) -> b h t (s d)", s: 2), theta)
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    if query_latent > 0 { columns = q_up(q_norm(q_down(x))) } else { columns = q(x) }
    (fixed, turning) = split(
      rearrange(columns, "b t (h d) -> b h t d", h: heads), [plain, rotated], axis: -1,
    )
    (narrow, key) = split(kv_down(x), [latent, rotated], axis: -1)
    c       = kv_norm(narrow)
    queries = turned(turning)
    shared  = turned(key[:, None])
    scaled  = rsqrt(tensor([plain + rotated]))
    if generate {
      up   = split(
        rearrange(kv_up.weight, "(h d) c -> h d c", h: heads), [plain, value_dim], axis: 1,
      )
      seen = attention(
        concat([fixed @ up[0], queries], axis: -1) * scaled,
        concat([c[:, None], shared], axis: -1),
        c[:, None], causal: true, scale: 1.0,
      ) @
        transpose(up[1])
    } else {
      up   = split(
        rearrange(kv_up(c), "b t (h d) -> b h t d", h: heads), [plain, value_dim], axis: -1,
      )
      keys = concat([up[0], shared + zeros(like: queries)], axis: -1)
      seen = attention(
        concat([fixed, queries], axis: -1) * scaled, keys, up[1], causal: true, scale: 1.0,
      )
    }
    o(rearrange(seen, "b h t d -> b t (h d)"))
  }
}
