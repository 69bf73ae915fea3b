// The architectures of GGUF files as families of decoders: which `config.json` says the same as a file's keys.
import type { GgufHeader, GgufTensor } from "../../runtime/weights/gguf/header.js";
import type { Fields } from "./description/fields.js";

export interface GgufSizes {
  readonly dim: number;
  readonly hidden: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** How many columns of a head are rotated. */
  readonly rotated: number;
  readonly positions: number;
}

/** What the fields of a family are made of. */
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
  reads: [],
  fields: () => ({}),
};

const WINDOW = ["attention.sliding_window", "attention.sliding_window_pattern"] as const;

/**
 * The windows of layers. Without a pattern in the file, every `period`-th layer has none. `usual`: the window if the file
 * has none; 0: no layer has one.
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
function positive(keys: Fields, name: string): number | undefined {
  const value = keys.positive(name);
  return value === null ? undefined : decimal(value);
}

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
]);

/**
 * The width by whose root Gemma divides its scores. No key has it: llama.cpp knows the largest model, whose width is not
 * of its heads, by its number of layers.
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
