// GGUF files of Llamas with random weights, written tensor by tensor.
import { closeSync, openSync, writeSync } from "node:fs";
import { toBlocks, type BlockType } from "../../src/runtime/program/encodings/block-file.js";
import { BLOCKS, quantize } from "../../src/runtime/program/encodings/block-packing.js";
import { random } from "../random.js";

export interface Shape {
  readonly name: string;
  readonly vocab: number;
  readonly dim: number;
  readonly hidden: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
}

/** How matrices are stored; norms are F32. */
export type FileType = "F32" | BlockType;

/** Numbers of types in GGUF. */
const TYPES = { F32: 0, Q4_0: 2, Q8_0: 8 } as const satisfies Record<FileType, number>;
const [U32, I32, F32, STRING, ARRAY] = [4, 5, 6, 8, 9];
const ALIGNMENT = 32;

const CONTEXT = 512;

/** Writes a model with tied embeddings, and a vocabulary without which llama.cpp reads no file. */
export function writeLlama(path: string, shape: Shape, type: FileType): void {
  const file = openSync(path, "w");
  try {
    const tensors = tensorsOf(shape).map((t) => ({ ...t, type: t.sizes.length === 1 ? ("F32" as const) : type }));
    let offset = 0;
    const described = tensors.map(({ name, sizes, type: own }) => {
      const at = offset;
      offset += aligned(bytesOf(own, sizes));
      return joined(text(name), u32(sizes.length), ...sizes.map(u64), u32(TYPES[own]), u64(at));
    });
    const keys = keysOf(shape);
    const header = joined(
      new TextEncoder().encode("GGUF"),
      u32(3),
      u64(tensors.length),
      u64(keys.length),
      ...keys,
      ...described,
    );
    writeSync(file, padded(header));
    const rng = random(1);
    for (const { sizes, type: own } of tensors) {
      const scale = 1 / Math.sqrt(sizes[0]!);
      const draw = sizes.length === 1 ? () => 1 + 0.1 * rng.normal() : () => scale * rng.normal();
      const values = Float32Array.from({ length: sizes.reduce((a, b) => a * b, 1) }, draw);
      writeSync(file, padded(stored(values, own)));
    }
  } finally {
    closeSync(file);
  }
}

const bytesOf = (type: FileType, sizes: readonly number[]): number => {
  const values = sizes.reduce((a, b) => a * b, 1);
  return type === "F32" ? 4 * values : (values / 32) * (type === "Q8_0" ? 34 : 18);
};

function stored(values: Float32Array, type: FileType): Uint8Array {
  if (type === "F32") return new Uint8Array(values.buffer);
  return toBlocks(values, type, (block, integers) => quantize(BLOCKS[type === "Q8_0" ? "q8" : "q4"], block, integers));
}

/** Names and sizes, the contiguous dimension first. */
function tensorsOf({ vocab, dim, hidden, depth, heads, kvHeads }: Shape): readonly {
  readonly name: string;
  readonly sizes: readonly number[];
}[] {
  const kv = (dim / heads) * kvHeads;
  const layers = Array.from({ length: depth }, (_, i) => [
    { name: `blk.${i}.attn_norm.weight`, sizes: [dim] },
    { name: `blk.${i}.attn_q.weight`, sizes: [dim, dim] },
    { name: `blk.${i}.attn_k.weight`, sizes: [dim, kv] },
    { name: `blk.${i}.attn_v.weight`, sizes: [dim, kv] },
    { name: `blk.${i}.attn_output.weight`, sizes: [dim, dim] },
    { name: `blk.${i}.ffn_norm.weight`, sizes: [dim] },
    { name: `blk.${i}.ffn_gate.weight`, sizes: [dim, hidden] },
    { name: `blk.${i}.ffn_up.weight`, sizes: [dim, hidden] },
    { name: `blk.${i}.ffn_down.weight`, sizes: [hidden, dim] },
  ]);
  return [
    { name: "token_embd.weight", sizes: [dim, vocab] },
    { name: "output_norm.weight", sizes: [dim] },
    ...layers.flat(),
  ];
}

function keysOf({ vocab, dim, hidden, depth, heads, kvHeads }: Shape): readonly Uint8Array[] {
  const number = (name: string, value: number): Uint8Array => joined(text(name), u32(U32), u32(value));
  const own = (name: string, value: number): Uint8Array => number(`llama.${name}`, value);
  const list = (name: string, type: number, values: readonly Uint8Array[]): Uint8Array =>
    joined(text(`tokenizer.ggml.${name}`), u32(ARRAY), u32(type), u64(values.length), ...values);
  const byte = (i: number): string => `<0x${(i - 3).toString(16).toUpperCase().padStart(2, "0")}>`;
  const words = Array.from(
    { length: vocab },
    (_, i) => ["<unk>", "<s>", "</s>"][i] ?? (i < 259 ? byte(i) : `\u2581w${i}`),
  );
  // Unknown, control, bytes, and words, as llama.cpp numbers them.
  const kinds = words.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1));
  return [
    joined(text("general.architecture"), u32(STRING), text("llama")),
    own("context_length", CONTEXT),
    own("embedding_length", dim),
    own("feed_forward_length", hidden),
    own("block_count", depth),
    own("attention.head_count", heads),
    own("attention.head_count_kv", kvHeads),
    joined(text("llama.attention.layer_norm_rms_epsilon"), u32(F32), f32(1e-5)),
    joined(text("tokenizer.ggml.model"), u32(STRING), text("llama")),
    list("tokens", STRING, words.map(text)),
    list(
      "scores",
      F32,
      words.map((_, i) => f32(-i)),
    ),
    list("token_type", I32, kinds.map(u32)),
    number("tokenizer.ggml.bos_token_id", 1),
    number("tokenizer.ggml.eos_token_id", 2),
  ];
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const f32 = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);
const u64 = (value: number): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return joined(u64(bytes.length), bytes);
}
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const padded = (bytes: Uint8Array): Uint8Array => joined(bytes, new Uint8Array(aligned(bytes.length) - bytes.length));
