// The recurrent mixers of a decoder: what stands in the place of attention in some or all layers.
import type { Fields } from "./fields.js";

/** A gated DeltaNet (Yang et al. 2024, arXiv 2412.06464). */
export interface DeltaNet {
  readonly kind: "delta";
  /** Heads of the values, and the width of each. */
  readonly heads: number;
  readonly headDim: number;
  /** Heads of queries and keys, and the width of each. */
  readonly keyHeads: number;
  readonly keyDim: number;
  /** Number of rows of the short convolution. */
  readonly width: number;
}

/** A short convolution between two gates (LFM2). */
export interface GatedConv {
  readonly kind: "conv";
  /** The convolution reads this many rows. */
  readonly width: number;
  /** Whether its maps and the convolution have biases. */
  readonly bias: boolean;
}

/** Mamba-2 (Dao and Gu 2024, arXiv 2405.21060). */
export interface Mamba2 {
  readonly kind: "mamba2";
  /** Heads of the state, and the width of each. */
  readonly heads: number;
  readonly headDim: number;
  /** Rows of a head's state. */
  readonly state: number;
  /** How many groups of heads have keys and queries of their own. */
  readonly groups: number;
  /** Number of rows of the short convolution. */
  readonly width: number;
  /** Whether the maps into and out of the mixer have biases. */
  readonly bias: boolean;
  readonly convBias: boolean;
}

/** Mamba (Gu and Dao 2023, arXiv 2312.00752). */
export interface Mamba {
  readonly kind: "mamba";
  /** The recurrence has this many channels. */
  readonly channels: number;
  /** Rows of a channel's state. */
  readonly state: number;
  /** Width inside the map that makes steps. */
  readonly rank: number;
  /** Number of rows of the short convolution. */
  readonly width: number;
  /** Whether the maps into and out of the mixer have biases. */
  readonly bias: boolean;
  readonly convBias: boolean;
  /** Whether steps, keys and queries are normalized (Jamba, arXiv 2403.19887). */
  readonly normed: boolean;
}

/** The recurrent block of Griffin (De et al. 2024, arXiv 2402.19427). */
export interface Griffin {
  readonly kind: "griffin";
  /** The recurrence has this many channels. */
  readonly channels: number;
  /** How many blocks the gates' matrices have along their diagonal. */
  readonly blocks: number;
  /** Number of rows of the short convolution. */
  readonly width: number;
}

export type Mixer = DeltaNet | GatedConv | Mamba | Mamba2 | Griffin;

/** The recurrent layers of a decoder. */
export interface Recurrent {
  /** For each layer, whether it has the mixer; the others have attention. */
  readonly layers: readonly boolean[];
  readonly mixer: Mixer;
  /** The key of the mixer's weights in a layer. */
  readonly key: string;
}

/**
 * For each layer whether it is recurrent, by the kinds in `layer_types`, or without it by `usual`. Throws a
 * CheckpointError for another kind, and for a list of another length.
 */
export function recurrentLayers(
  config: Fields,
  depth: number,
  { recurrent, attention }: Readonly<Record<"recurrent" | "attention", readonly string[]>>,
  usual: (layer: number) => boolean,
): readonly boolean[] {
  const types = config.texts("layer_types");
  if (types === null) return Array.from({ length: depth }, (_, i) => usual(i));
  if (types.length !== depth)
    config.refuse("layer_types", `it has ${types.length} entries, num_hidden_layers is ${depth}`);
  return types.map((type) => {
    if (!recurrent.includes(type) && !attention.includes(type))
      config.refuse("layer_types", `modc knows ${[...recurrent, ...attention].join(", ")}, not ${type}`);
    return recurrent.includes(type);
  });
}

/** The kinds of layers in configurations with Mamba; newer versions of transformers write the second names. */
export const MAMBA_KINDS = {
  recurrent: ["mamba", "linear_attention"],
  attention: ["attention", "full_attention"],
} as const;

/** Fields of a configuration that describe Mamba-2. */
export interface Mamba2Fields {
  readonly heads: string;
  readonly headDim: string;
  readonly state: string;
  readonly groups: string;
  readonly width: string;
  readonly expand: string;
  readonly bias: string;
  readonly convBias: string;
}

/** Their values where the configuration does not say them. */
export interface Mamba2Defaults {
  readonly heads: number;
  /** Null: the heads together are `expand` times as wide as the stream. */
  readonly headDim: number | null;
  readonly state: number;
  readonly groups: number;
}

/**
 * Reads a Mamba-2 mixer, whose heads are together `expand` times as wide as the stream. Throws CheckpointError where
 * sizes do not fit.
 */
export function mamba2Of(config: Fields, dim: number, fields: Mamba2Fields, defaults: Mamba2Defaults): Mamba2 {
  config.only("hidden_act", "silu", "Mamba-2 has silu behind its convolution");
  refuseStepLimit(config);
  const heads = config.whole(fields.heads) ?? defaults.heads;
  const inner = Math.trunc((config.positive(fields.expand) ?? 2) * dim);
  const isAuto = config.raw(fields.headDim) === "auto";
  const headDim = (isAuto ? null : (config.whole(fields.headDim) ?? defaults.headDim)) ?? inner / heads;
  if (headDim * heads !== inner || !Number.isInteger(headDim))
    config.refuse(fields.heads, `its heads must be ${fields.expand} times as wide as the stream, ${inner} columns`);
  const groups = config.whole(fields.groups) ?? defaults.groups;
  if (heads % groups !== 0) config.refuse(fields.groups, `it must divide ${fields.heads}, ${heads}`);
  return {
    kind: "mamba2",
    heads,
    headDim,
    state: config.whole(fields.state) ?? defaults.state,
    groups,
    width: config.whole(fields.width) ?? 4,
    bias: config.flag(fields.bias) ?? false,
    convBias: config.flag(fields.convBias) ?? true,
  };
}

/** Refuses bounds of steps other than 0 and infinity, which newer versions of transformers write as an object. */
function refuseStepLimit(config: Fields): void {
  const limit = config.raw("time_step_limit");
  if (limit === null) return;
  const isInfinite = (value: unknown): boolean =>
    value === Infinity || (value instanceof Map && value.get("__float__") === "Infinity");
  if (!Array.isArray(limit) || limit.length !== 2 || limit[0] !== 0 || !isInfinite(limit[1]))
    config.refuse("time_step_limit", "modc does not bound the steps of Mamba-2");
}

/** Fields of Mamba-2 in the configurations of hybrids. */
export const HYBRID_MAMBA2: Mamba2Fields = {
  heads: "mamba_n_heads",
  headDim: "mamba_d_head",
  state: "mamba_d_state",
  groups: "mamba_n_groups",
  width: "mamba_d_conv",
  expand: "mamba_expand",
  bias: "mamba_proj_bias",
  convBias: "mamba_conv_bias",
};

/** Fields of configurations with Mamba-2 that change nothing that is computed, and the bounds, which are read. */
export const MAMBA2_READS: readonly string[] = ["time_step_limit", "time_step_min", "time_step_max", "time_step_floor"];

/** Fields of a configuration that describe Mamba. */
export type MambaFields = Omit<Mamba2Fields, "heads" | "headDim" | "groups"> & { readonly rank: string };

/** Reads a Mamba mixer. */
export function mambaOf(
  config: Fields,
  dim: number,
  fields: MambaFields,
  { bias, normed }: Pick<Mamba, "bias" | "normed">,
): Mamba {
  config.only("hidden_act", "silu", "modc reads Mamba with silu");
  const isAuto = config.raw(fields.rank) === "auto";
  return {
    kind: "mamba",
    channels: Math.trunc((config.positive(fields.expand) ?? 2) * dim),
    state: config.whole(fields.state) ?? 16,
    rank: (isAuto ? null : config.whole(fields.rank)) ?? Math.ceil(dim / 16),
    width: config.whole(fields.width) ?? 4,
    bias: config.flag(fields.bias) ?? bias,
    convBias: config.flag(fields.convBias) ?? true,
    normed,
  };
}
