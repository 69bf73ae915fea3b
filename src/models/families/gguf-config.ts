// Reads the keys of a GGUF file as the configuration of a decoder. Unknown keys and values are refused by name.
import type { GgufHeader, GgufTensor } from "../../runtime/weights/gguf/header.js";
import type { GgufValue } from "../../runtime/weights/gguf/metadata.js";
import { ROPE_FACTORS } from "../../runtime/weights/gguf/names.js";
import { architectureOf } from "../../runtime/weights/gguf/weights.js";
import type { Json } from "../../runtime/weights/formats/json.js";
import { bug } from "../../ground/base/invariant.js";
import { ropeFrequencies } from "../../ground/numerics/rope.js";
import { parseConfig } from "./config.js";
import type { DecoderConfig } from "./description/decoder.js";
import { CheckpointError } from "./description/errors.js";
import { Fields } from "./description/fields.js";
import type { FieldNames } from "./description/family.js";
import type { Rotation } from "./description/rotary.js";
import { families } from "./families.js";
import {
  decimal,
  ggufFamilies,
  pairFactors,
  positive,
  type GgufFamily,
  type GgufParts,
  type GgufSizes,
} from "./gguf-families.js";

/** Keys that are read below, after the prefix of the architecture. */
const READ: ReadonlySet<string> = new Set([
  "vocab_size",
  "context_length",
  "embedding_length",
  "block_count",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "attention.causal",
]);
/** Further keys of families that rotate queries and keys. */
const ROTATION: ReadonlySet<string> = new Set([
  "rope.dimension_count",
  "rope.freq_base",
  "rope.scale_linear",
  "rope.scaling.type",
  "rope.scaling.factor",
  "rope.scaling.original_context_length",
  "rope.scaling.attn_factor",
  "rope.scaling.yarn_beta_fast",
  "rope.scaling.yarn_beta_slow",
]);
/** Keys that do not affect the computation. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set(["rope.scaling.finetuned", "tensor_data_layout"]);

/** The key of the epsilon, by the kind of the norms. */
const EPS = { rms: "attention.layer_norm_rms_epsilon", layer: "attention.layer_norm_epsilon" } as const;

/**
 * The decoder that a GGUF file describes. `read` returns the bytes of a small tensor. The decoder's weights are the
 * weights of `ggufWeights`. Throws CheckpointError, and WeightsError for an architecture that modc does not read.
 */
export function ggufConfig(header: GgufHeader, read: (tensor: GgufTensor) => Uint8Array): DecoderConfig {
  const { tensors, file } = header;
  const { name } = architectureOf(header);
  const row = ggufFamilies.get(name) ?? bug(`the weights of ${name} are read, and no family`);
  const keys = Fields.of(keysBehind(`${name}.`, header), file, `${name}.`);
  const eps = EPS[row.norm];
  const isKnown = (key: string): boolean =>
    key === eps || READ.has(key) || (row.rotates && ROTATION.has(key)) || row.reads.includes(key);
  const unknown = keys.names.find((key) => !isKnown(key) && !WITHOUT_EFFECT.has(key) && !isOff(keys.raw(key)));
  if (unknown !== undefined) keys.refuse(unknown, "modc does not know this key");
  if (keys.flag("attention.causal") === false) keys.refuse("attention.causal", "modc reads decoders");
  expectLayers(header, keys);
  const sizes = sizesOf(keys, row);
  const parts: GgufParts = { keys, header, sizes, read };
  const type = row.type(keys);
  const { fields } = families.get(type) ?? bug(`there is no family ${type}`);
  const config = parseConfig(
    JSON.stringify({
      model_type: type,
      ...named(keys, fields, sizes),
      vocab_size: vocabularyOf(header, keys),
      [fields.eps ?? bug(`${type} has no epsilon`)]: decimal(neededAbove0(keys, eps)),
      ...(row.rotates
        ? rotation(
            keys,
            row.scaling?.(parts, () => ropeScaling(keys)),
          )
        : {}),
      tie_word_embeddings: !tensors.has("output.weight"),
      ...row.fields(parts),
    }),
    file,
  );
  const has = (tensor: string): boolean => tensors.has(`blk.0.${tensor}.bias`);
  return {
    ...config,
    ...row.weights?.(config),
    origin: "gguf",
    biases: {
      qkv: has("attn_q") || has("attn_qkv"),
      o: has("attn_output"),
      mlp: ["ffn_gate", "ffn_up", "ffn_gate_exps"].some(has),
    },
    rotation: withFactors(parts, config.rotation),
  };
}

/** The fields of a `config.json` about positions. */
const rotation = (keys: Fields, scaling = ropeScaling(keys)): Readonly<Record<string, unknown>> => ({
  rope_theta: decimal(keys.positive("rope.freq_base") ?? 10000),
  rope_scaling: scaling,
});

/** The sizes by the names that the family gives them. Throws CheckpointError for a size that the family cannot have. */
function named(keys: Fields, fields: FieldNames, sizes: GgufSizes): Readonly<Record<string, number>> {
  const { dim, hidden, depth, heads, kvHeads, headDim, positions } = sizes;
  const fixed = (key: string, value: number, only: number): void => {
    if (value !== only) keys.refuse(key, `in this family it is ${only}`);
  };
  if (fields.hidden === null) fixed("feed_forward_length", hidden, 4 * dim);
  if (fields.kvHeads === null) fixed("attention.head_count_kv", kvHeads, heads);
  if (fields.headDim === null) fixed("attention.key_length", headDim, dim / heads);
  const all = [
    [fields.dim, dim],
    [fields.hidden, hidden],
    [fields.depth, depth],
    [fields.heads, heads],
    [fields.kvHeads, kvHeads],
    [fields.headDim, headDim],
    [fields.positions, positions],
  ] as const;
  return Object.fromEntries(all.flatMap(([name, value]) => (name === null ? [] : [[name, value]])));
}

/** The keys with this prefix, without the prefix, as JSON values. */
function keysBehind(prefix: string, { metadata }: GgufHeader): ReadonlyMap<string, Json> {
  const json = (value: GgufValue): Json => {
    if (typeof value === "bigint") return Number(value); // an inexact number, which is refused as a size
    return typeof value === "object" ? Array.from<number | bigint | string, Json>(value, json) : value;
  };
  return new Map(
    [...metadata].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), json(value)]] : [])),
  );
}

/** Throws if the file's layers do not match its number of layers. */
function expectLayers({ tensors }: GgufHeader, keys: Fields): void {
  const layers = new Set([...tensors.keys()].flatMap((name) => /^blk\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  if (needed(keys, "block_count") !== layers)
    keys.refuse("block_count", `the file has tensors of ${layers} layer${layers === 1 ? "" : "s"}`);
}

const needed = (keys: Fields, name: string): number => keys.whole(name) ?? keys.missing(name);
const neededAbove0 = (keys: Fields, name: string): number => keys.positive(name) ?? keys.missing(name);

function sizesOf(keys: Fields, row: GgufFamily): GgufSizes {
  const [dim, heads] = [needed(keys, "embedding_length"), needed(keys, "attention.head_count")];
  const kvHeads = keys.whole("attention.head_count_kv") ?? heads;
  if (heads % kvHeads !== 0) keys.refuse("attention.head_count_kv", `it must divide attention.head_count, ${heads}`);
  const headDim = headWidth(keys, row) ?? dim / heads;
  if (!Number.isInteger(headDim)) keys.refuse("attention.head_count", `it must divide embedding_length, ${dim}`);
  if (row.rotates && headDim % 2 !== 0)
    keys.refuse("attention.head_count", `heads of width ${headDim} have no pairs to rotate`);
  const rotated = (row.partial ? keys.whole("rope.dimension_count") : null) ?? headDim;
  if (rotated > headDim) keys.refuse("rope.dimension_count", `heads have a width of ${headDim}`);
  return {
    dim,
    hidden: needed(keys, "feed_forward_length"),
    depth: needed(keys, "block_count"),
    heads,
    kvHeads,
    headDim,
    rotated,
    positions: needed(keys, "context_length"),
  };
}

/** The number of tokens: the rows of the embedding, which must match the tokenizer. */
function vocabularyOf({ metadata, tensors, file }: GgufHeader, keys: Fields): number {
  const embedding = tensors.get("token_embd.weight");
  if (embedding === undefined) throw new CheckpointError("bad-config", `${file} has no tensor "token_embd.weight"`);
  const rows = embedding.shape[0]!;
  const size = keys.whole("vocab_size");
  if (size !== null && size !== rows) keys.refuse("vocab_size", `token_embd.weight has ${rows} rows`);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (Array.isArray(tokens) && tokens.length !== rows)
    throw new CheckpointError(
      "bad-config",
      `${file}: tokenizer.ggml.tokens has ${tokens.length} tokens, token_embd.weight has ${rows} rows`,
    );
  return rows;
}

/**
 * The width of a head, if the file specifies it. Key width, value width and, but for families that may rotate a part of
 * a head, rotated width must be equal.
 */
function headWidth(keys: Fields, { partial }: GgufFamily): number | null {
  const names = ["attention.key_length", "attention.value_length", ...(partial ? [] : ["rope.dimension_count"])];
  const said = names.filter((name) => keys.has(name));
  const [first] = said;
  if (first === undefined) return null;
  const width = keys.whole(first);
  for (const name of said)
    if (keys.whole(name) !== width)
      keys.refuse(name, `${first} is ${width}: modc reads heads of one width, rotated whole`);
  return width;
}

/** The scaling in the form of `rope_scaling` in a `config.json`. */
function ropeScaling(keys: Fields): object | null {
  const older = keys.positive("rope.scale_linear");
  const kind = keys.text("rope.scaling.type") ?? (older === null ? "none" : "linear");
  if ((keys.number("rope.scaling.attn_factor") ?? 1) !== 1)
    keys.refuse("rope.scaling.attn_factor", "modc derives the attention factor from the scaling factor");
  if (kind === "none") return null;
  const scale = keys.positive("rope.scaling.factor") ?? older ?? keys.missing("rope.scaling.factor");
  const factor = decimal(scale);
  if (kind === "linear") return factor === 1 ? null : { rope_type: "linear", factor };
  if (kind !== "yarn") return keys.refuse("rope.scaling.type", "modc knows none, linear, yarn");
  return {
    rope_type: "yarn",
    factor,
    original_max_position_embeddings: keys.whole("rope.scaling.original_context_length") ?? undefined,
    beta_fast: positive(keys, "rope.scaling.yarn_beta_fast"),
    beta_slow: positive(keys, "rope.scaling.yarn_beta_slow"),
  };
}

/** Frequencies divided by a factor for each pair, as llama.cpp stores the scaling of Llama 3. */
function withFactors(parts: Pick<GgufParts, "header" | "read">, rotation: Rotation | null): Rotation | null {
  const factors = rotation && pairFactors(parts, ROPE_FACTORS, rotation.columns);
  if (!rotation || !factors) return rotation;
  const { columns, main } = rotation;
  const fail = (what: string): never => {
    throw new CheckpointError("bad-config", `${parts.header.file}: tensor "${ROPE_FACTORS}" ${what}`);
  };
  if (main.scaling !== null) fail(`scales the rotation, but the metadata scales it too: ${main.scaling}`);
  const base = ropeFrequencies({ width: columns, theta: main.theta, frequencies: null });
  const frequencies = base.map((frequency, i) => {
    const factor = factors[i]!;
    return factor > 0 && factor < Infinity ? frequency / factor : fail(`has ${factor} at ${i}, which is not a factor`);
  });
  return { ...rotation, main: { ...main, frequencies, scaling: `the factors in ${ROPE_FACTORS}` } };
}

const isOff = (value: unknown): boolean => value === false || value === 0 || value === "";
