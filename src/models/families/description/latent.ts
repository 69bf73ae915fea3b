// Multi-head latent attention of a checkpoint (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are
// projected from one short row per token, and only a part of each head is rotated.
import type { Fields } from "./fields.js";

export interface Latent {
  /** Width of the row from which queries are projected; null: from the residual stream. */
  readonly queryRank: number | null;
  /** Width of the row from which keys and values are projected. */
  readonly keyRank: number;
  /** Widths of a head: `still`: the part without rotation; `turned`: the rotated part; `value`: the values. */
  readonly still: number;
  readonly turned: number;
  readonly value: number;
  /**
   * Whether the two values of a rotated pair are neighbours in the checkpoint. If not, they are in different halves.
   */
  readonly neighbours: boolean;
  /** Factors on the queries' row and on the keys' and values' row, applied after their norms. */
  readonly queryScale: number;
  readonly keyScale: number;
}

/** Epsilon of the norms of both rows, which these families' configurations do not contain. */
export const LATENT_EPS = 1e-6;

export function deepseekLatent(config: Fields): Latent {
  return {
    queryRank: config.has("q_lora_rank") ? config.whole("q_lora_rank") : 1536,
    keyRank: config.whole("kv_lora_rank") ?? 512,
    still: config.whole("qk_nope_head_dim") ?? 128,
    turned: config.whole("qk_rope_head_dim") ?? 64,
    value: config.whole("v_head_dim") ?? 128,
    neighbours: config.flag("rope_interleave") ?? true,
    queryScale: 1,
    keyScale: 1,
  };
}

/** LongCat's latent attention: DeepSeek's with rows scaled to the size of the stream. */
export function longcatLatent(config: Fields, dim: number): Latent {
  const latent = deepseekLatent(config);
  const rank =
    latent.queryRank ?? config.refuse("q_lora_rank", "the queries of this family come from a low-rank projection");
  for (const name of ["mla_scale_q_lora", "mla_scale_kv_lora"])
    if (config.flag(name) === false) config.refuse(name, "this family always scales these rows");
  const method = config.text("attention_method");
  if (method !== null && method !== "MLA") config.refuse("attention_method", "modc knows MLA");
  return {
    ...latent,
    neighbours: true,
    queryScale: Math.sqrt(dim / rank),
    keyScale: Math.sqrt(dim / latent.keyRank),
  };
}

/** The factor on scores: 1/√width, raised for scaled positions as in these families' code; null if it is not raised. */
export function latentScale(config: Fields, { still, turned }: Latent): number | null {
  const fields = config.object("rope_parameters") ?? config.object("rope_scaling");
  const all = fields?.number("mscale_all_dim") ?? 0;
  const factor = fields?.number("factor") ?? 1;
  if (all === 0 || factor <= 1) return null;
  return (0.1 * all * Math.log(factor) + 1) ** 2 / Math.sqrt(still + turned);
}
