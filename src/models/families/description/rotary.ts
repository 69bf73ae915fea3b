// Rotary embedding of a checkpoint: the base, or the angles after scaling.
//
// The kinds are the kinds of Hugging Face's `rope_scaling`, called `rope_parameters` since version 5: "default",
// "linear" (Chen et al. 2023, arXiv 2306.15595), "llama3" (the Llama 3.1 model card), "yarn" (Peng et al. 2023, arXiv
// 2309.00071) and "longrope" (Ding et al. 2024, arXiv 2402.13753), which older configurations call "su".
import { ropeFrequencies } from "../../../ground/numerics/rope.js";
import type { Fields } from "./fields.js";

export interface Rotary {
  readonly theta: number;
  /** Angle per position of each of the head_dim / 2 pairs, in radians; null: computed from theta. */
  readonly frequencies: readonly number[] | null;
  /** The factor on sine and cosine. */
  readonly scale: number;
  /** Description for messages: `llama3, factor 32`; null without scaling. */
  readonly scaling: string | null;
  /** The number of positions that the scaling supports, if stated. */
  readonly reach: number | null;
  /**
   * The angles of a model whose longest text has more than `above` positions, in place of `frequencies` (longrope). The
   * published code chooses by the length of each text, which a causal model does not know. Absent: one list of angles.
   */
  readonly long?: { readonly above: number; readonly frequencies: readonly number[] };
}

/** What a layer does with the positions of its queries and keys. */
export type Turn = "main" | "local" | "none";

/** The rotation of queries and keys in all layers. */
export interface Rotation {
  readonly main: Rotary;
  /** The rotation of layers with `local`; null: no layer has it. */
  readonly local: Rotary | null;
  readonly layers: readonly Turn[];
  /** How many columns of a head are rotated, from the first; even. */
  readonly columns: number;
  /** Whether the two columns of a pair are neighbours in the checkpoint. If not, they are in different halves. */
  readonly neighbours: boolean;
}

/**
 * The rotation of all columns of a head, or of the share that `partial_rotary_factor` says. `share`: its default;
 * `field`: its name in the configuration itself.
 */
export function partRotation(
  config: Fields,
  { headDim, depth, ...context }: Omit<RotaryContext, "partial"> & { readonly depth: number },
  share: number,
  more: Partial<Rotation> = {},
  field = "partial_rotary_factor",
): Rotation {
  const parameters = config.object("rope_parameters");
  const isInside = parameters?.has("partial_rotary_factor") === true;
  const [holder, name] = isInside ? [parameters, "partial_rotary_factor"] : [config, field];
  const columns = Math.trunc(headDim * (holder.positive(name) ?? share));
  if (columns < 2 || columns > headDim || columns % 2 !== 0)
    holder.refuse(name, `it must leave pairs of a head's ${headDim} columns to rotate`);
  return rotationOf(rotaryOf(config, { ...context, headDim: columns, partial: true }), depth, columns, more);
}

/** The same rotation in all layers, of the first `columns` columns of a head. */
export const rotationOf = (main: Rotary, depth: number, columns: number, more: Partial<Rotation> = {}): Rotation => ({
  main,
  local: null,
  layers: Array<Turn>(depth).fill("main"),
  columns,
  neighbours: false,
  ...more,
});

export interface RotaryContext {
  /** The number of rotated columns of a head. */
  readonly headDim: number;
  /** `max_position_embeddings`. */
  readonly positions: number;
  /** Default base. */
  readonly theta: number;
  /** Whether the family may rotate a part of a head, so that `partial_rotary_factor` is read elsewhere. */
  readonly partial?: boolean;
  /** Default of `original_max_position_embeddings` for longrope. */
  readonly original?: number;
}

/** Fields that are valid for every kind. */
const COMMON = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
const OF_KIND: ReadonlyMap<string, readonly string[]> = new Map([
  ["default", []],
  ["linear", ["factor"]],
  ["llama3", ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]],
  [
    "yarn",
    [
      "factor",
      "attention_factor",
      "beta_fast",
      "beta_slow",
      "mscale",
      "mscale_all_dim",
      "truncate",
      "original_max_position_embeddings",
    ],
  ],
  ["longrope", ["factor", "attention_factor", "short_factor", "long_factor", "original_max_position_embeddings"]],
]);

/** Parses both spellings. Throws CheckpointError for an unsupported kind or field. */
export function rotaryOf(config: Fields, context: RotaryContext): Rotary {
  return scaledRotary(config, config.object("rope_parameters") ?? config.object("rope_scaling"), context);
}

/** Reads the rotation in `fields`. If they are null, the rotation is plain and `config` has its base. */
export function scaledRotary(config: Fields, fields: Fields | null, context: RotaryContext): Rotary {
  const theta = fields?.positive("rope_theta") ?? config.positive("rope_theta") ?? context.theta;
  const plain: Rotary = { theta, frequencies: null, scale: 1, scaling: null, reach: null };
  if (context.partial !== true) for (const each of [config, fields]) whole(each);
  if (fields === null) return plain;
  const field = fields.raw("rope_type") === null && fields.raw("type") !== null ? "type" : "rope_type";
  const named = fields.text(field) ?? "default";
  const kind = named === "su" ? "longrope" : named;
  const known = OF_KIND.get(kind) ?? fields.refuse(field, `modc knows ${[...OF_KIND.keys()].join(", ")}`);
  // The default kind may have fields of other kinds, which have no effect.
  const allowed = kind === "default" ? [...OF_KIND.values()].flat() : known;
  const unknown = fields.names.find((name) => !COMMON.includes(name) && !allowed.includes(name));
  if (unknown !== undefined) fields.refuse(unknown, `modc does not know this field of ${kind} scaling`);
  const base = ropeFrequencies({ width: context.headDim, theta, frequencies: null });
  switch (kind) {
    case "linear": {
      const factor = fields.positive("factor") ?? fields.missing("factor");
      return { ...plain, frequencies: base.map((f) => f / factor), scaling: `linear, factor ${factor}` };
    }
    case "llama3":
      return { ...plain, ...llama3(fields, base) };
    case "yarn":
      return { ...plain, ...yarn(fields, base, { ...context, theta }) };
    case "longrope":
      return { ...plain, ...longrope(config, fields, base, context) };
    default:
      return plain;
  }
}

function whole(fields: Fields | null): void {
  const share = fields?.number("partial_rotary_factor") ?? 1;
  if (fields && share !== 1) fields.refuse("partial_rotary_factor", "modc rotates whole heads only");
}

type Scaled = Pick<Rotary, "frequencies" | "scale" | "scaling" | "reach">;

/**
 * Divides the frequencies of long waves by the factor, keeps those of short waves, and interpolates in between, by the
 * number of rotations in the original context.
 */
function llama3(fields: Fields, base: readonly number[]): Scaled {
  const factor = fields.positive("factor") ?? fields.missing("factor");
  const low = fields.positive("low_freq_factor") ?? fields.missing("low_freq_factor");
  const high = fields.positive("high_freq_factor") ?? fields.missing("high_freq_factor");
  const original =
    fields.whole("original_max_position_embeddings") ?? fields.missing("original_max_position_embeddings");
  if (high <= low) fields.refuse("high_freq_factor", `it must be above low_freq_factor, ${low}`);
  const frequencies = base.map((f) => {
    const turns = (original * f) / (2 * Math.PI);
    const keptShare = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return ((1 - keptShare) * f) / factor + keptShare * f;
  });
  return { frequencies, scale: 1, scaling: `llama3, factor ${factor} of ${original} positions`, reach: null };
}

/**
 * Keeps the frequencies of pairs with many rotations, divides those of pairs with few by the factor, with a linear ramp
 * in between; `scale` raises the attention scores.
 */
function yarn(fields: Fields, base: readonly number[], { headDim, positions, theta }: RotaryContext): Scaled {
  const factor = fields.positive("factor") ?? fields.missing("factor");
  const original = fields.whole("original_max_position_embeddings") ?? positions;
  const [fast, slow] = [fields.positive("beta_fast") ?? 32, fields.positive("beta_slow") ?? 1];
  /** The dimension whose pair makes `turns` rotations in the original context. */
  const dimensionOf = (turns: number): number =>
    (headDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = fields.flag("truncate") ?? true;
  const low = Math.max(0, truncate ? Math.floor(dimensionOf(fast)) : dimensionOf(fast));
  const high = Math.min(headDim - 1, truncate ? Math.ceil(dimensionOf(slow)) : dimensionOf(slow));
  const width = low === high ? 0.001 : high - low;
  const frequencies = base.map((f, i) => {
    const slowedShare = Math.min(1, Math.max(0, (i - low) / width));
    return slowedShare * (f / factor) + (1 - slowedShare) * f;
  });
  const attentionScale = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const [m, all] = [fields.number("mscale") ?? 0, fields.number("mscale_all_dim") ?? 0];
  const scale =
    fields.positive("attention_factor") ??
    (m !== 0 && all !== 0 ? attentionScale(m) / attentionScale(all) : attentionScale(1));
  return {
    frequencies,
    scale,
    scaling: `yarn, factor ${factor} of ${original} positions`,
    reach: Math.round(factor * original),
  };
}

/**
 * Divides each frequency by a factor: a short one in texts of the original length, a long one in longer texts; `scale`
 * raises the attention scores in both.
 */
function longrope(
  config: Fields,
  fields: Fields,
  base: readonly number[],
  { positions, original: usual }: RotaryContext,
): Omit<Rotary, "theta"> {
  const name = "original_max_position_embeddings";
  const original = fields.whole(name, 2) ?? config.whole(name, 2) ?? usual ?? fields.missing(name);
  const divided = (field: "short_factor" | "long_factor"): readonly number[] => {
    const factors = fields.numbers(field) ?? fields.missing(field);
    if (factors.length !== base.length || factors.some((factor) => factor <= 0))
      fields.refuse(field, `it must have a factor above 0 for each of ${base.length} pairs of columns`);
    return base.map((frequency, i) => frequency / factors[i]!);
  };
  const ratio = positions / original;
  const factor = fields.positive("factor") ?? ratio;
  if (factor !== ratio) fields.refuse("factor", `max_position_embeddings is ${positions}, ${ratio} times ${name}`);
  const long = { above: original, frequencies: divided("long_factor") };
  return {
    frequencies: divided("short_factor"),
    scale:
      fields.positive("attention_factor") ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))),
    scaling: `longrope for texts of up to ${Math.min(original, positions)} positions`,
    reach: null,
    ...(positions > original ? { long } : {}),
  };
}
