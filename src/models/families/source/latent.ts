// The `.mod` source of latent attention.
import { floatText, type DecoderConfig } from "../description/decoder.js";
import { turnedWhole } from "./rotation.js";
import { LATENT_EPS, type Latent } from "../description/latent.js";

/** The block `Attention` of a decoder with latent attention, whose keys and values are projected from a short row. */
export function latentAttention(config: DecoderConfig & { readonly latent: Latent }): string {
  const { biases, latent, rotation, scoreScale } = config;
  const times = (factor: number): string => (factor === 1 ? "" : ` * ${floatText(factor)}`);
  const eps = floatText(LATENT_EPS);
  const queries =
    latent.queryRank === null
      ? "  q: Linear(dim, heads * (still + turned), bias: false)"
      : `  q_a: Linear(dim, query_rank, bias: ${biases.qkv})
  q_norm: RMSNorm(query_rank, eps: ${eps})
  q_b: Linear(query_rank, heads * (still + turned), bias: false)`;
  const query = latent.queryRank === null ? "q(x)" : "q_b(q_norm(q_a(x)))";
  return `/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are made
/// from one short row of each token. A part of each head is rotated; that of the keys is one for all heads.
block Attention(${latentParameters(latent, rotation!.main.frequencies === null)}) {
${queries}
  kv_a: Linear(dim, key_rank + turned, bias: ${biases.qkv})
  kv_norm: RMSNorm(key_rank, eps: ${eps})
  kv_b: Linear(key_rank, heads * (still + value), bias: false)
  o: Linear(heads * value, dim, bias: ${biases.o})

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    q = rearrange(${query}, "b t (h d) -> b h t d", h: heads)${times(latent.queryScale)}
    (low, shared) = split(kv_a(x), [key_rank, turned], axis: -1)
    kv = rearrange(kv_b(kv_norm(low)${times(latent.keyScale)}), "b t (h d) -> b h t d", h: heads)
    q_turned = ${turnedWhole(config, "q[..., still:]")}
    k_turned = ${turnedWhole(config, "shared", "b t")}[:, None] + zeros(like: q_turned)
    q = concat([q[..., 0:still], q_turned], axis: -1)
    k = concat([kv[..., 0:still], k_turned], axis: -1)
    y = attention(q, k, kv[..., still:], causal: true${scoreScale === null ? "" : `, scale: ${floatText(scoreScale)}`})
    o(rearrange(y, "b h t d -> b t (h d)"))
  }
}`;
}

const names = ({ queryRank }: Latent): readonly string[] => [
  ...(queryRank === null ? [] : ["query_rank"]),
  "key_rank",
  "still",
  "turned",
  "value",
];

const latentParameters = (latent: Latent, theta: boolean): string =>
  ["dim", "heads", ...names(latent)].map((n) => `${n}: int`).join(", ") + (theta ? ", theta: float" : "");

/** The names of the attention's widths, as a list of arguments. */
export const latentNames = (latent: Latent): string => names(latent).join(", ");

/** The widths as parameters of a model, with their default values. */
export function latentDefaults(latent: Latent): readonly string[] {
  const { queryRank, keyRank, still, turned, value } = latent;
  const values = [...(queryRank === null ? [] : [queryRank]), keyRank, still, turned, value];
  return names(latent).map((name, i) => `${name}: int = ${values[i]}`);
}

/** Names of the maps and norms: in modc's source, and in a checkpoint. */
export const latentKeys = ({ queryRank }: Latent): readonly (readonly [string, string])[] => [
  ...(queryRank === null
    ? ([["q", "q_proj"]] as const)
    : ([
        ["q_a", "q_a_proj"],
        ["q_norm", "q_a_layernorm"],
        ["q_b", "q_b_proj"],
      ] as const)),
  ["kv_a", "kv_a_proj_with_mqa"],
  ["kv_norm", "kv_a_layernorm"],
  ["kv_b", "kv_b_proj"],
  ["o", "o_proj"],
];
