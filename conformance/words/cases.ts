// The cases of words: attention with pairs of tokens, recurrences, and inputs along given axes. Each is a call of one
// word on random tensors, which are scaled by weights so that gradients can be compared.
import { random, type Random } from "../../bench/random.js";

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array;
}

/** A tensor that an implementation is given. */
export interface Argument extends Tensor {
  /** The dimension along which a weight scales it; absent: no gradient reaches it. */
  readonly scaled?: number;
}

export interface WordCase {
  readonly name: string;
  /** The function that an implementation has. */
  readonly word: string;
  /** Arguments of the function that are no tensors. */
  readonly options: Readonly<Record<string, number | boolean>>;
  /** Tokens of each sequence by axis; null: all. */
  readonly lengths: Readonly<Record<string, readonly number[]>> | null;
  readonly args: ReadonlyMap<string, Argument>;
  /** Declarations of the model's inputs, without `probe`. */
  readonly inputs: ReadonlyMap<string, { readonly type: string; readonly tensor: Tensor }>;
  /** The result's type and the dimension of its sequence. */
  readonly result: string;
  /** The call, in which `$name` is an argument times its weight. */
  readonly call: string;
}

export const BATCH = 2;
export const TOKENS = 9;
export const SOURCES = 6;
const [HEADS, GROUPS, WIDTH, VALUES] = [4, 2, 3, 5];
const RAGGED = [9, 6];

interface Made {
  readonly type: string;
  readonly dims: readonly number[];
  readonly scaled?: number;
  readonly make?: (rng: Random, i: number) => number;
  readonly whole?: boolean;
}

const EXTENTS: Readonly<Record<string, number>> = { B: BATCH, T: TOKENS, S: SOURCES };
/** An input by its type. */
const input = (type: string, more: Partial<Made> = {}): Made => ({
  type,
  dims: type
    .slice(type.indexOf("[") + 1, -1)
    .split(", ")
    .map((size) => EXTENTS[size] ?? Number(size)),
  ...more,
});
const plain = (type: string): Made => input(type, { make: (rng) => rng.normal() });
const scaled = (type: string): Made => {
  const made = plain(type);
  return { ...made, scaled: made.dims.length - 1 };
};
/** Logarithms of decays: below 0. */
const decays = (type: string, dim: number): Made => ({
  ...input(type, { make: (rng) => -0.1 - Math.abs(rng.normal()) }),
  scaled: dim,
});
const flags = (type: string, share: number): Made =>
  input(type, { make: (rng) => (rng.below(100) < 100 * share ? 1 : 0), whole: true });

interface Written {
  readonly name: string;
  readonly word: string;
  readonly seed: number;
  readonly options?: WordCase["options"];
  readonly lengths?: WordCase["lengths"];
  readonly inputs: Readonly<Record<string, Made>>;
  /** Arguments that are computed of inputs, for an implementation that takes them as tensors. */
  readonly computed?: (of: (name: string) => Tensor) => Readonly<Record<string, Argument>>;
  /** Names of inputs that the implementation is not given. */
  readonly own?: readonly string[];
  readonly result: string;
  readonly call: string;
}

const Q = `f32[B, ${HEADS}, T, ${WIDTH}]`;
const K = `f32[B, ${GROUPS}, T, ${WIDTH}]`;
const V = `f32[B, ${GROUPS}, T, ${VALUES}]`;
const Y = `f32[B, ${HEADS}, T, ${VALUES}]`;
const qkv = { q: scaled(Q), k: scaled(K), v: scaled(V) };
const documents = input("u32[B, T]", { make: (_, i) => [0, 0, 0, 0, 1, 1, 1, 2, 2][i % TOKENS]!, whole: true });

/** A tensor of pairs of tokens, [B, T, T] or [B, H, T, T], by the tokens' indices. */
function pairs(heads: number | null, value: (b: number, h: number, i: number, j: number) => number): Float32Array {
  const made: number[] = [];
  for (let b = 0; b < BATCH; b++)
    for (let h = 0; h < (heads ?? 1); h++)
      for (let i = 0; i < TOKENS; i++) for (let j = 0; j < TOKENS; j++) made.push(value(b, h, i, j));
  return Float32Array.from(made);
}
const sameDocument = (of: (name: string) => Tensor): Argument => {
  const { data } = of("doc");
  const same = pairs(null, (b, _, i, j) => Number(data[b * TOKENS + i] === data[b * TOKENS + j]));
  return { shape: [BATCH, TOKENS, TOKENS], data: Uint32Array.from(same) };
};
const bothFlagged = (of: (name: string) => Tensor): Argument => {
  const { data } = of("flag");
  const seen = pairs(null, (b, _, i, j) => data[b * TOKENS + i]! * data[b * TOKENS + j]!);
  return { shape: [BATCH, TOKENS, TOKENS], data: Uint32Array.from(seen) };
};
const slopes = (h: number): number => 1 / 2 ** (h + 1);
const distances: Argument = {
  shape: [BATCH, HEADS, TOKENS, TOKENS],
  data: pairs(HEADS, (_, h, i, j) => -slopes(h) * (i - j)),
  scaled: 1,
};
const SAME = "doc[:, :, None] == doc[:, None, :]";
const FLAGGED = "flag[:, :, None] > 0 and flag[:, None, :] > 0";
const AT = "f32(position(doc))";
const BIAS =
  `-(tensor([for h in 0..${HEADS}: 1 / 2 ^ (h + 1)]) * scale_bias)[:, None, None] * ` +
  `(${AT}[:, None, :, None] - ${AT}[:, None, None, :])`;

const WRITTEN: readonly Written[] = [
  {
    name: "attention-mask",
    word: "attention",
    seed: 101,
    options: { causal: true },
    inputs: { ...qkv, doc: documents },
    own: ["doc"],
    computed: (of) => ({ mask: sameDocument(of) }),
    result: Y,
    call: `attention($q, $k, $v, causal: true, mask: ${SAME})`,
  },
  {
    name: "attention-bias",
    word: "attention",
    seed: 102,
    options: { causal: true },
    lengths: { T: RAGGED },
    inputs: { ...qkv, doc: documents },
    own: ["doc"],
    computed: () => ({ bias: distances }),
    result: Y,
    call: `attention($q, $k, $v, causal: true, bias: ${BIAS})`,
  },
  {
    name: "attention-cap",
    word: "attention",
    seed: 103,
    options: { cap: 1.5, scale: 0.9 },
    inputs: qkv,
    result: Y,
    call: "attention($q, $k, $v, cap: 1.5, scale: 0.9)",
  },
  {
    name: "attention-all",
    word: "attention",
    seed: 104,
    options: { causal: true, window: 4, cap: 2, scale: 0.7 },
    lengths: { T: RAGGED },
    inputs: { ...qkv, doc: documents, weight: input("f32[B, T]", { make: (rng) => rng.normal() + 0.7 }) },
    own: ["doc"],
    computed: (of) => ({ mask: sameDocument(of), bias: distances }),
    result: Y,
    call: `attention($q, $k, $v, causal: true, window: 4, cap: 2.0, scale: 0.7, weight: $weight, mask: ${SAME}, bias: ${BIAS})`,
  },
  {
    // Queries whose flag is false see no key: zeros.
    name: "attention-nothing-seen",
    word: "attention",
    seed: 105,
    inputs: { ...qkv, flag: flags("u32[B, T]", 0.5) },
    own: ["flag"],
    computed: (of) => ({ mask: bothFlagged(of) }),
    result: Y,
    call: `attention($q, $k, $v, mask: ${FLAGGED})`,
  },
  {
    name: "mass",
    word: "mass",
    seed: 106,
    options: { causal: true, cap: 2 },
    lengths: { T: RAGGED },
    inputs: { q: scaled(Q), k: scaled(K), doc: documents },
    own: ["doc"],
    computed: (of) => ({ mask: sameDocument(of), bias: distances }),
    result: `f32[B, ${HEADS}, T]`,
    call: `mass($q, $k, causal: true, cap: 2.0, mask: ${SAME}, bias: ${BIAS})`,
  },
  {
    // Their mass is -1e30.
    name: "mass-nothing-seen",
    word: "mass",
    seed: 108,
    inputs: { q: scaled(Q), k: scaled(K), flag: flags("u32[B, T]", 0.5) },
    own: ["flag"],
    computed: (of) => ({ mask: bothFlagged(of) }),
    result: `f32[B, ${HEADS}, T]`,
    call: `mass($q, $k, mask: ${FLAGGED})`,
  },
  {
    name: "cross-attention",
    word: "attention",
    seed: 107,
    lengths: { T: RAGGED, S: [4, 6] },
    inputs: {
      q: scaled(Q),
      k: scaled(`f32[B, ${GROUPS}, S, ${WIDTH}]`),
      v: scaled(`f32[B, ${GROUPS}, S, ${VALUES}]`),
    },
    result: Y,
    call: "attention($q, $k, $v)",
  },
  ...(["earlier", "later"] as const).map((word, i): Written => ({
    name: word,
    word,
    seed: 111 + i,
    options: { n: 2 + i },
    lengths: { T: RAGGED },
    inputs: { x: scaled(`f32[B, T, ${WIDTH}]`) },
    result: `f32[B, T, ${WIDTH}]`,
    call: `${word}($x, ${2 + i})`,
  })),
  {
    name: "scan-sum",
    word: "scan",
    seed: 113,
    inputs: { x: scaled(`f32[B, T, ${WIDTH}]`) },
    result: `f32[B, T, ${WIDTH}]`,
    call: "scan($x)",
  },
  {
    name: "scan-fresh",
    word: "scan",
    seed: 114,
    lengths: { T: RAGGED },
    inputs: {
      x: scaled(`f32[B, T, ${WIDTH}]`),
      log_decay: decays(`f32[B, T, ${WIDTH}]`, 2),
      fresh: flags("u32[B, T]", 0.3),
    },
    result: `f32[B, T, ${WIDTH}]`,
    call: "scan($x, log_decay: $log_decay, fresh: fresh > 0)",
  },
  {
    name: "scan-reverse",
    word: "scan",
    seed: 115,
    options: { reverse: true },
    lengths: { T: RAGGED },
    inputs: { x: scaled(`f32[B, T, ${WIDTH}]`), log_decay: decays(`f32[B, T, ${WIDTH}]`, 2) },
    result: `f32[B, T, ${WIDTH}]`,
    call: "scan($x, log_decay: $log_decay, reverse: true)",
  },
  {
    // The recurrence runs along the chosen rows alone; the others get zeros.
    name: "scan-on-a-route",
    word: "routed_scan",
    seed: 116,
    lengths: { T: RAGGED },
    inputs: {
      x: scaled(`f32[B, T, ${WIDTH}]`),
      log_decay: decays(`f32[B, T, ${WIDTH}]`, 2),
      chosen: flags("u32[B, T]", 0.5),
    },
    result: `f32[B, T, ${WIDTH}]`,
    call: "r = those(chosen > 0)\nput(zeros(like: x), r, scan(take($x, r), log_decay: take($log_decay, r)))",
  },
  ...(
    [
      ["linear-attention", `f32[B, ${HEADS}, T]`, 1, ""],
      ["linear-attention-dimensions", `f32[B, ${HEADS}, T, ${WIDTH}]`, 3, ""],
      ["linear-attention-delta", `f32[B, ${HEADS}, T]`, 1, ", forget: $forget, at: $at, fresh: fresh > 0, scale: 0.6"],
    ] as const
  ).map(([name, decay, dim, more], i): Written => ({
    name,
    word: "linear_attention",
    seed: 121 + i,
    lengths: { T: RAGGED },
    options: more === "" ? {} : { scale: 0.6 },
    inputs: {
      q: scaled(K),
      k: scaled(K),
      v: scaled(Y),
      log_decay: decays(decay, dim),
      ...(more !== "" && {
        forget: { ...input(K, { make: (rng) => 0.4 * rng.normal() }), scaled: 3 },
        at: { ...input(K, { make: (rng) => 0.4 * rng.normal() }), scaled: 3 },
        fresh: flags("u32[B, T]", 0.25),
      }),
    },
    result: Y,
    call: `linear_attention($q, $k, $v, log_decay: $log_decay${more})`,
  })),
  {
    // Indices outside read the nearest row.
    name: "rows",
    word: "rows",
    seed: 131,
    inputs: {
      x: scaled(`f32[B, S, ${WIDTH}]`),
      index: input("u32[B, T]", { make: (rng) => rng.below(SOURCES + 3), whole: true }),
    },
    result: `f32[B, T, ${WIDTH}]`,
    call: "rows($x, index + u32(0.0 * f32(index)))",
  },
  {
    name: "strides",
    word: "strides",
    seed: 132,
    options: { start: 1, stop: 8, step: 3 },
    inputs: { x: scaled(`f32[B, S, ${WIDTH}]`) },
    result: `f32[B, N, ${WIDTH}]`,
    call: "$x[:, 1:8:3]",
  },
  {
    name: "rope-angles",
    word: "rope",
    seed: 133,
    inputs: { x: scaled(`f32[B, ${HEADS}, T, 6]`), angles: scaled("f32[B, T, 3]") },
    result: `f32[B, ${HEADS}, T, 6]`,
    call: "rope($x, angles: $angles)",
  },
  ...(["softplus", "floor"] as const).map((word, i): Written => ({
    name: word,
    word,
    seed: 134 + i,
    inputs: { x: { ...input(`f32[B, T, ${WIDTH}]`, { make: (rng) => 4 * rng.normal() }), scaled: 2 } },
    result: `f32[B, T, ${WIDTH}]`,
    call: `${word}($x)`,
  })),
];

function made({ inputs, computed, own = [], options = {}, lengths = null, ...rest }: Written): WordCase {
  const rng = random(rest.seed);
  const drawn = new Map(
    Object.entries(inputs).map(([name, { type, dims, make, whole }]) => {
      const count = dims.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: count }, (_, i) => make!(rng, i));
      return [
        name,
        { type, tensor: { shape: dims, data: whole ? Uint32Array.from(values) : Float32Array.from(values) } },
      ];
    }),
  );
  const args = new Map<string, Argument>();
  for (const [name, { scaled: along }] of Object.entries(inputs))
    if (!own.includes(name))
      args.set(name, { ...drawn.get(name)!.tensor, ...(along !== undefined && { scaled: along }) });
  const more = computed?.((name) => drawn.get(name)!.tensor) ?? {};
  for (const [name, argument] of Object.entries(more)) args.set(name, argument);
  return { ...rest, options, lengths, args, inputs: drawn };
}

export const WORDS: readonly WordCase[] = WRITTEN.map(made);
