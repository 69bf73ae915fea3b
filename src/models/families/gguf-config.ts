// Reads the keys of a GGUF file as the configuration of a decoder. Unknown keys and values are refused by name.
import type { GgufHeader, GgufTensor } from "../../runtime/weights/gguf/header.js";
import type { GgufValue } from "../../runtime/weights/gguf/metadata.js";
import { ROPE_FACTORS } from "../../runtime/weights/gguf/names.js";
import { architectureOf } from "../../runtime/weights/gguf/weights.js";
import type { Json } from "../../runtime/weights/formats/json.js";
import { ropeFrequencies } from "../../ground/numerics/rope.js";
import { parseConfig } from "./config.js";
import type { DecoderConfig } from "./description/decoder.js";
import { CheckpointError } from "./description/errors.js";
import { Fields } from "./description/fields.js";
import type { Rotation } from "./description/rotary.js";

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
  "attention.layer_norm_rms_epsilon",
  "attention.causal",
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

/**
 * The decoder that a GGUF file describes. `read` returns the bytes of a small tensor. The decoder's weights are the
 * weights of `ggufWeights`. Throws CheckpointError, and WeightsError for an architecture that modc does not read.
 */
export function ggufConfig(header: GgufHeader, read: (tensor: GgufTensor) => Uint8Array): DecoderConfig {
  const { tensors, file } = header;
  const { name } = architectureOf(header);
  const keys = Fields.of(keysBehind(`${name}.`, header), file, `${name}.`);
  const unknown = keys.names.find((key) => !READ.has(key) && !WITHOUT_EFFECT.has(key) && !isOff(keys.raw(key)));
  if (unknown !== undefined) keys.refuse(unknown, "modc does not know this key");
  if (keys.flag("attention.causal") === false) keys.refuse("attention.causal", "modc reads decoders");
  expectLayers(header, keys);
  const config = parseConfig(
    JSON.stringify({
      model_type: name,
      ...sizes(keys),
      vocab_size: vocabularyOf(header, keys),
      max_position_embeddings: needed(keys, "context_length"),
      rms_norm_eps: decimal(neededAbove0(keys, "attention.layer_norm_rms_epsilon")),
      rope_theta: decimal(keys.positive("rope.freq_base") ?? 10000),
      rope_scaling: ropeScaling(keys),
      tie_word_embeddings: !tensors.has("output.weight"),
    }),
    file,
  );
  const has = (tensor: string): boolean => tensors.has(`blk.0.${tensor}.bias`);
  return {
    ...config,
    origin: "gguf",
    biases: { qkv: has("attn_q"), o: has("attn_output"), mlp: has("ffn_gate") },
    rotation: withFactors(header, config.rotation, read),
  };
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

/** Sizes of layers, by the names of a `config.json`. */
function sizes(keys: Fields): Readonly<Record<string, number>> {
  const [dim, heads] = [needed(keys, "embedding_length"), needed(keys, "attention.head_count")];
  const kvHeads = keys.whole("attention.head_count_kv") ?? heads;
  if (heads % kvHeads !== 0) keys.refuse("attention.head_count_kv", `it must divide attention.head_count, ${heads}`);
  const width = headWidth(keys) ?? dim / heads;
  if (!Number.isInteger(width)) keys.refuse("attention.head_count", `it must divide embedding_length, ${dim}`);
  if (width % 2 !== 0) keys.refuse("attention.head_count", `heads of width ${width} have no pairs to rotate`);
  return {
    hidden_size: dim,
    intermediate_size: needed(keys, "feed_forward_length"),
    num_hidden_layers: needed(keys, "block_count"),
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: width,
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

/** The width of a head, if the file specifies it. Key width, value width and rotated width must be equal. */
function headWidth(keys: Fields): number | null {
  const names = ["attention.key_length", "attention.value_length", "rope.dimension_count"];
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
  const optional = (name: string): number | undefined => {
    const value = keys.positive(name);
    return value === null ? undefined : decimal(value);
  };
  return {
    rope_type: "yarn",
    factor,
    original_max_position_embeddings: keys.whole("rope.scaling.original_context_length") ?? undefined,
    beta_fast: optional("rope.scaling.yarn_beta_fast"),
    beta_slow: optional("rope.scaling.yarn_beta_slow"),
  };
}

/** Frequencies divided by a factor for each pair, as llama.cpp stores the scaling of Llama 3. */
function withFactors(
  { tensors, file }: GgufHeader,
  rotation: Rotation | null,
  read: (tensor: GgufTensor) => Uint8Array,
): Rotation | null {
  const tensor = tensors.get(ROPE_FACTORS);
  if (tensor === undefined || rotation === null) return rotation;
  const { columns, main } = rotation;
  const fail = (what: string): never => {
    throw new CheckpointError("bad-config", `${file}: tensor "${ROPE_FACTORS}" ${what}`);
  };
  const pairs = columns / 2;
  if (tensor.type.name !== "F32" || tensor.shape.length !== 1 || tensor.shape[0] !== pairs)
    fail(`is ${tensor.type.name}[${tensor.shape.join(", ")}], heads of width ${columns} need F32[${pairs}]`);
  if (main.scaling !== null) fail(`scales the rotation, but the metadata scales it too: ${main.scaling}`);
  const bytes = read(tensor);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const base = ropeFrequencies({ width: columns, theta: main.theta, frequencies: null });
  const frequencies = base.map((frequency, i) => {
    const factor = view.getFloat32(4 * i, true);
    return factor > 0 && factor < Infinity ? frequency / factor : fail(`has ${factor} at ${i}, which is not a factor`);
  });
  return { ...rotation, main: { ...main, frequencies, scaling: `the factors in ${ROPE_FACTORS}` } };
}

const isOff = (value: unknown): boolean => value === false || value === 0 || value === "";

/** The shortest decimal number that rounds to the same f32. */
function decimal(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
