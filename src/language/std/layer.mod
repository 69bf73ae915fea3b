import { Attention } from "./attention.mod"
import { GeluMLP, SwiGLU } from "./mlp.mod"
import { RMSNorm } from "./norm.mod"

/// A transformer layer. It returns its update only: a + mlp(mlp_norm(x + a)) with a = attn(attn_norm(x)), or as `norms`,
/// `parallel` and `factor` say. `Residual` adds the stream; `MoD` adds the update to the chosen tokens.
block Layer(
  /// Width of the stream.
  dim: int,
  /// Heads of the queries.
  heads: int,
  /// Heads of keys and values.
  kv_heads: int = heads,
  /// Width inside the network on each token.
  hidden: int = 4 * dim,
  /// That network: "swiglu" or "gelu".
  mlp: string = "swiglu",
  /// Base of the rotary frequencies; 0.0 for no rotation.
  theta: float = 10000.0,
  /// Whether a token sees only itself and those before it.
  causal: bool = true,
  /// How far a token sees, itself included; 0 for no limit.
  window: int = 0,
  /// Where norms stand: "before" attention and network, "behind" them (OLMo 2, arXiv 2501.00656), or "both" (Gemma 2).
  norms: string = "before",
  /// Whether the network reads x as attention does, not x + a (GPT-J, GPT-NeoX).
  parallel: bool = false,
  /// What multiplies the updates of attention and network (Granite).
  factor: float = 1.0,
) {
  attn_norm: RMSNorm(dim)
  attn:      Attention(dim, heads, kv_heads, theta: theta, causal: causal, window: window)
  mlp_norm:  RMSNorm(dim)
  if norms == "both" {
    attn_out_norm: RMSNorm(dim)
    mlp_out_norm:  RMSNorm(dim)
  }
  if mlp == "swiglu" {
    mlp: SwiGLU(dim, hidden)
  } else if mlp == "gelu" {
    mlp: GeluMLP(dim, hidden)
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    if norms == "before" {
      a = attn(attn_norm(x))
    } else if norms == "behind" {
      a = attn_norm(attn(x))
    } else if norms == "both" {
      a = attn_out_norm(attn(attn_norm(x)))
    }
    if factor != 1.0 { a = factor * a }
    if parallel { y = x } else { y = x + a }
    if norms == "before" {
      m = mlp(mlp_norm(y))
    } else if norms == "behind" {
      m = mlp_norm(mlp(y))
    } else if norms == "both" {
      m = mlp_out_norm(mlp(mlp_norm(y)))
    }
    if factor != 1.0 { m = factor * m }
    a + m
  }
}

/// Adds what a block computes to what it was given: x + inner(x).
block Residual(
  /// Returns its update.
  inner: block,
) {
  forward(x: f32[...]) -> f32[...] { x + inner(x) }
}

/// A layer around any attention and any network on each token, such as a mixture of experts: a + mlp(mlp_norm(x + a))
/// with a = attn(attn_norm(x)). It returns its update only, as `Layer` does.
block LayerOf(
  /// Tokens to tokens; returns its update.
  attn: block,
  /// The network; returns its update.
  mlp: block,
  /// Width of the stream.
  dim: int,
) {
  attn_norm: RMSNorm(dim)
  mlp_norm:  RMSNorm(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// A layer of a decoder that reads a memory (Vaswani et al. 2017, arXiv 1706.03762): `layer` with attention to the memory
/// between its attention and its network. Returns its update: b + mlp(mlp_norm(x + b)) with
/// b = a + attention(cross_norm(x + a), memory) and a = attn(attn_norm(x)).
block Cross(
  /// A `Layer` or `LayerOf`: its attention, its network and their norms.
  layer: block,
  /// Tokens and memory to tokens, such as `CrossAttention`; returns its update.
  attention: block,
  /// Width of the stream.
  dim: int,
  /// Width of the memory.
  width: int = dim,
) {
  cross_norm: RMSNorm(dim)

  forward(x: f32[B, T, dim], memory: f32[B, S, width]) -> f32[B, T, dim] {
    a = layer.attn(layer.attn_norm(x))
    b = a + attention(cross_norm(x + a), memory)
    b + layer.mlp(layer.mlp_norm(x + b))
  }
}
