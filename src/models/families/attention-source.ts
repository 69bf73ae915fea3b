// The `.mod` source of a decoder's attention with key/value heads, one per query head or shared by groups (GQA).
import { floatText, type DecoderConfig } from "./config.js";
import { latentAttention } from "./latent-source.js";
import { hasWindows, joinNames } from "./source-text.js";

/** The block `Attention`. */
export function attention(config: DecoderConfig): string {
  const { biases, family, latent, loops, rotary } = config;
  if (latent) return latentAttention({ ...config, latent });
  const windowed = hasWindows(config);
  const [q, k] = family.headNorms === "row" ? ["heads * head_dim", "kv_heads * head_dim"] : ["head_dim", "head_dim"];
  const norms =
    family.headNorms === null ? "" : `\n  q_norm: RMSNorm(${q}, eps: eps)\n  k_norm: RMSNorm(${k}, eps: eps)`;
  const angles =
    rotary.frequencies === null
      ? "theta"
      : joinNames("frequencies: frequencies", rotary.scale !== 1 && `scale: ${floatText(rotary.scale)}`);
  const head = (x: string): string => {
    const of = `${x}(${loops && x !== "q" ? "all" : "x"})`;
    const row = family.headNorms === "row" && x !== "v" ? `${x}_norm(${of})` : of;
    return `rearrange(${row}, "b t (h d) -> b h t d", h: ${x === "q" ? "heads" : "kv_heads"})`;
  };
  const turned = (x: string): string =>
    `rope(${family.headNorms === "head" ? `${x}_norm(${head(x)})` : head(x)}, ${angles})`;
  const parameters = joinNames(
    "dim: int",
    "heads: int",
    "kv_heads: int",
    "head_dim: int",
    rotary.frequencies === null && "theta: float",
    family.headNorms !== null && "eps: float",
    windowed && "window: int",
  );
  const signature = loops
    ? `/// Queries of the tokens of x, keys and values of all.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {`
    : "forward(x: f32[B, T, dim]) -> f32[B, T, dim] {";
  return `/// Self-attention with rotary positions; heads of queries share keys and values in groups.
block Attention(${parameters}) {
  q: Linear(dim, heads * head_dim, bias: ${biases.qkv})
  k: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  v: Linear(dim, kv_heads * head_dim, bias: ${biases.qkv})
  o: Linear(heads * head_dim, dim, bias: ${biases.o})${norms}

  ${signature}
    q = ${turned("q")}
    k = ${turned("k")}
    v = ${head("v")}
    o(rearrange(attention(q, k, v, causal: true${windowed ? ", window: window" : ""}), "b h t d -> b t (h d)"))
  }
  ${loops ? "forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }" : ""}
}`;
}
