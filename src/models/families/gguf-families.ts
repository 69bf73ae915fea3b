// The families of GGUF files: from the keys of a file, a row makes the fields of the same model's `config.json`.
import { ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT } from "../../runtime/weights/gguf/names.js";
import type { GgufHeader, GgufTensor } from "../../runtime/weights/gguf/header.js";
import type { DecoderConfig } from "./description/decoder.js";
import { CheckpointError } from "./description/errors.js";
import type { Fields } from "./description/fields.js";
import type { Stack } from "./description/mixture.js";

export interface GgufSizes extends Pick<DecoderConfig, "dim" | "hidden" | "depth" | "heads" | "kvHeads" | "headDim"> {
  /** How many columns of a head are rotated. */
  readonly rotated: number;
  readonly positions: number;
}

/** The parts of a file from which a family makes its fields. */
export interface GgufParts {
  /** The keys behind the architecture's prefix. */
  readonly keys: Fields;
  readonly header: GgufHeader;
  readonly sizes: GgufSizes;
  /** Returns the bytes of a small tensor. */
  readonly read: (tensor: GgufTensor) => Uint8Array;
}

/** How the keys of an architecture differ from Llama's. */
export interface GgufFamily {
  /** The `model_type`. */
  readonly type: (keys: Fields) => string;
  /** The kind of the norms, by which the key of their epsilon is named. */
  readonly norm: "rms" | "layer";
  /** Whether queries and keys are rotated, and whether perhaps only some columns of a head. */
  readonly rotates: boolean;
  readonly partial: boolean;
  /** Reads the `rope_scaling`; null: `usual` reads it. */
  readonly scaling: ((parts: GgufParts, usual: () => object | null) => object | null) | null;
  /** What the description of the weights changes to; null: nothing. */
  readonly weights: ((config: DecoderConfig) => Partial<DecoderConfig>) | null;
  /** Further keys that `fields` reads. */
  readonly reads: readonly string[];
  /** Further fields of the `config.json`. Throws CheckpointError. */
  readonly fields: (parts: GgufParts) => Readonly<Record<string, unknown>>;
}

const LLAMA: GgufFamily = {
  type: () => "llama",
  norm: "rms",
  rotates: true,
  partial: false,
  scaling: null,
  weights: null,
  reads: [],
  fields: () => ({}),
};

const WINDOW = ["attention.sliding_window", "attention.sliding_window_pattern"] as const;

/**
 * The windows of layers. Without a pattern in the file, every `period`-th layer has none. `usual`: the window if the
 * file has none; 0: no layer has one.
 */
function windows(keys: Fields, depth: number, period: number, usual = 0): Readonly<Record<string, unknown>> {
  const [size, pattern] = WINDOW;
  const window = keys.whole(size, 0) ?? usual;
  const listed = Array.isArray(keys.raw(pattern)) ? keys.wholes(pattern) : null;
  const every = listed === null ? (keys.whole(pattern) ?? period) : period;
  if (listed !== null && listed.length !== depth)
    keys.refuse(pattern, `it has ${listed.length} entries, block_count is ${depth}`);
  const hasWindow = (i: number): boolean => window > 0 && (listed === null ? (i + 1) % every !== 0 : listed[i] !== 0);
  return {
    ...(window > 0 ? { sliding_window: window } : {}),
    layer_types: Array.from({ length: depth }, (_, i) => (hasWindow(i) ? "sliding_attention" : "full_attention")),
  };
}

/** A number above 0, as a decimal number; undefined: the file does not have it, and the family's default holds. */
export function positive(keys: Fields, name: string): number | undefined {
  const value = keys.positive(name);
  return value === null ? undefined : decimal(value);
}

/** Which share of a head is rotated: half a column more, so that rounding down gives the columns. */
const rotatedShare = ({ rotated, headDim }: GgufSizes): number => (rotated === headDim ? 1 : (rotated + 0.5) / headDim);

/** The tensor's numbers, one for each pair of the rotated columns; null: the file lacks it. Throws CheckpointError. */
export function pairFactors(
  { header: { tensors, file }, read }: Pick<GgufParts, "header" | "read">,
  name: string,
  columns: number,
): readonly number[] | null {
  const tensor = tensors.get(name);
  if (tensor === undefined) return null;
  const { type, shape } = tensor;
  const pairs = columns / 2;
  if (type.name !== "F32" || shape.length !== 1 || shape[0] !== pairs)
    throw new CheckpointError(
      "bad-config",
      `${file}: tensor "${name}" is ${type.name}[${shape.join(", ")}], ` +
        `heads of which ${columns} columns rotate need F32[${pairs}]`,
    );
  const bytes = read(tensor);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: pairs }, (_, i) => view.getFloat32(4 * i, true));
}

/** The scaling of Phi-3, whose factors are tensors; null without them. */
function longrope(parts: GgufParts): object | null {
  const { keys, sizes } = parts;
  const factors = (name: string): readonly number[] | null =>
    pairFactors(parts, name, sizes.rotated)?.map((factor) => decimal(factor)) ?? null;
  const [short, long] = [factors(ROPE_FACTORS_SHORT), factors(ROPE_FACTORS_LONG)];
  const kind = keys.text("rope.scaling.type") ?? "none";
  if (kind !== "none" && (kind !== "longrope" || short === null))
    keys.refuse("rope.scaling.type", "modc knows longrope with tensors of factors, and none");
  const attention = keys.positive("rope.scaling.attn_factor") ?? 1;
  if (short === null || long === null) {
    if (attention !== 1) keys.refuse("rope.scaling.attn_factor", "the file has no tensors of factors");
    return null;
  }
  const original =
    keys.whole("rope.scaling.original_context_length", 2) ?? keys.missing("rope.scaling.original_context_length");
  const usual = Math.sqrt(1 + Math.log(sizes.positions / original) / Math.log(original));
  const isUsual = sizes.positions > original && Math.fround(usual) === attention;
  return {
    rope_type: "longrope",
    short_factor: short,
    long_factor: long,
    ...(isUsual ? {} : { attention_factor: decimal(attention) }),
  };
}

const EXPERTS = ["expert_count", "expert_used_count", "expert_feed_forward_length", "expert_weights_norm"] as const;

/** The sizes of a mixture in all layers. */
const experts = (keys: Fields, { hidden }: GgufSizes): Readonly<Record<string, unknown>> => {
  const used = keys.whole("expert_used_count") ?? keys.missing("expert_used_count");
  return {
    num_experts: keys.whole("expert_count") ?? keys.missing("expert_count"),
    num_experts_per_tok: used,
    moe_intermediate_size: keys.whole("expert_feed_forward_length") ?? Math.floor(hidden / used),
  };
};

/** The stacks of experts whose gate and up are apart, with biases. */
const stackOf = (map: string): Stack => ({
  key: `mlp.experts.${map}_proj.weight`,
  bias: `mlp.experts.${map}_proj.bias`,
  rows: null,
  transposed: false,
  joined: false,
});
const APART = { gate: stackOf("gate"), up: stackOf("up"), down: stackOf("down") };

/** By the names of the architectures. */
export const ggufFamilies: ReadonlyMap<string, GgufFamily> = new Map<string, GgufFamily>([
  ["llama", LLAMA],
  ["qwen2", { ...LLAMA, type: () => "qwen2" }],
  ["qwen3", { ...LLAMA, type: () => "qwen3" }],
  [
    "gemma2",
    {
      ...LLAMA,
      type: () => "gemma2",
      reads: [...WINDOW, "attn_logit_softcapping", "final_logit_softcapping"],
      fields: ({ keys, sizes }) => ({
        ...windows(keys, sizes.depth, 2, 4096),
        query_pre_attn_scalar: scoreWidth(sizes, 46),
        attn_logit_softcapping: positive(keys, "attn_logit_softcapping"),
        final_logit_softcapping: positive(keys, "final_logit_softcapping"),
      }),
    },
  ],
  [
    "gemma3",
    {
      ...LLAMA,
      type: () => "gemma3_text",
      reads: [...WINDOW, "final_logit_softcapping", "rope.freq_base_swa"],
      fields: ({ keys, sizes }) => ({
        ...windows(keys, sizes.depth, 6),
        query_pre_attn_scalar: scoreWidth(sizes, 62),
        final_logit_softcapping: positive(keys, "final_logit_softcapping"),
        rope_local_base_freq: positive(keys, "rope.freq_base_swa"),
      }),
    },
  ],
  [
    "phi3",
    {
      ...LLAMA,
      type: () => "phi3",
      partial: true,
      reads: ["attention.sliding_window"],
      scaling: longrope,
      fields: ({ keys, sizes }) => ({
        sliding_window: keys.whole("attention.sliding_window", 0) || undefined, // 0: none
        partial_rotary_factor: rotatedShare(sizes),
        original_max_position_embeddings: keys.whole("rope.scaling.original_context_length") ?? undefined,
      }),
    },
  ],
  [
    "qwen2moe",
    {
      ...LLAMA,
      type: () => "qwen2_moe",
      reads: [...EXPERTS, "expert_shared_feed_forward_length"],
      fields: ({ keys, sizes }) => ({
        ...experts(keys, sizes),
        norm_topk_prob: keys.flag("expert_weights_norm") ?? false,
        shared_expert_intermediate_size: keys.whole("expert_shared_feed_forward_length") ?? sizes.hidden,
      }),
    },
  ],
  [
    "qwen3moe",
    {
      ...LLAMA,
      type: () => "qwen3_moe",
      reads: EXPERTS,
      fields: ({ keys, sizes }) => ({
        ...experts(keys, sizes),
        norm_topk_prob: keys.flag("expert_weights_norm") ?? true,
      }),
    },
  ],
  [
    "olmo2",
    {
      ...LLAMA,
      // Files of OLMo 3 are of olmo2, and have a window.
      type: (keys) => ((keys.whole(WINDOW[0], 0) ?? 0) > 0 ? "olmo3" : "olmo2"),
      reads: WINDOW,
      fields: ({ keys, sizes }) => windows(keys, sizes.depth, 4),
    },
  ],
  [
    "granite",
    {
      ...LLAMA,
      type: () => "granite",
      reads: ["attention.scale", "embedding_scale", "residual_scale", "logit_scale"],
      fields: ({ keys, sizes }) => ({
        attention_multiplier: positive(keys, "attention.scale") ?? 1 / Math.sqrt(sizes.headDim),
        embedding_multiplier: positive(keys, "embedding_scale"),
        residual_multiplier: positive(keys, "residual_scale"),
        logits_scaling: positive(keys, "logit_scale"),
      }),
    },
  ],
  [
    "command-r",
    {
      ...LLAMA,
      type: () => "cohere",
      norm: "layer",
      reads: ["logit_scale"],
      fields: ({ keys, header }) => ({
        logit_scale: positive(keys, "logit_scale") ?? keys.missing("logit_scale"),
        use_qk_norm: header.tensors.has("blk.0.attn_q_norm.weight"),
      }),
    },
  ],
  [
    "cohere2",
    {
      ...LLAMA,
      type: () => "cohere2",
      norm: "layer",
      reads: [...WINDOW, "logit_scale"],
      fields: ({ keys, sizes }) => ({
        ...windows(keys, sizes.depth, 4),
        logit_scale: positive(keys, "logit_scale") ?? keys.missing("logit_scale"),
      }),
    },
  ],
  [
    "gptneox",
    {
      ...LLAMA,
      type: () => "gpt_neox",
      norm: "layer",
      partial: true,
      reads: ["use_parallel_residual"],
      fields: ({ keys, sizes }) => ({
        use_parallel_residual: keys.flag("use_parallel_residual") ?? keys.missing("use_parallel_residual"),
        rotary_pct: rotatedShare(sizes),
      }),
    },
  ],
  ["gpt2", { ...LLAMA, type: () => "gpt2", norm: "layer", rotates: false }],
  ["bloom", { ...LLAMA, type: () => "bloom", norm: "layer", rotates: false }],
  [
    "gpt-oss",
    {
      ...LLAMA,
      type: () => "gpt_oss",
      reads: [...WINDOW, "expert_count", "expert_used_count", "expert_feed_forward_length"],
      // The published code does not round the bounds of the ramp, which no key says.
      scaling: (_, usual) => {
        const scaling = usual();
        if (scaling === null) return { rope_type: "default" };
        return "beta_fast" in scaling ? { ...scaling, truncate: false } : scaling;
      },
      fields: ({ keys, sizes }) => ({
        ...windows(keys, sizes.depth, 2),
        num_local_experts: keys.whole("expert_count") ?? keys.missing("expert_count"),
        num_experts_per_tok: keys.whole("expert_used_count") ?? keys.missing("expert_used_count"),
        intermediate_size: keys.whole("expert_feed_forward_length") ?? sizes.hidden,
      }),
      weights: ({ mixture }) => ({ mixture: mixture && { ...mixture, keys: { ...mixture.keys, stacks: APART } } }),
    },
  ],
]);

/**
 * The width by whose root Gemma divides its scores. No key has it: llama.cpp knows the largest model, whose width is
 * not of its heads, by its number of layers.
 */
const scoreWidth = ({ dim, heads, headDim, depth }: GgufSizes, largest: number): number =>
  depth === largest ? dim / heads : headDim;

/** The shortest decimal number that rounds to the same f32. */
export function decimal(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
