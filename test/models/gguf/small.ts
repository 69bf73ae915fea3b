// A whole GGUF file of a small Llama with random weights, a tokenizer and a chat template.
import { random } from "../../random.js";
import { f32, file, joined, key, list, tensor, text, u32, u8 } from "./files.js";
import { SMALL, type Key } from "./vocabularies.js";

const [U32, F32, BOOL, STRING, ARRAY] = [4, 6, 7, 8, 9];
const KINDS: Readonly<Record<string, readonly [type: number, bytes: (value: unknown) => Uint8Array]>> = {
  u32: [U32, (value) => u32(value as number)],
  i32: [5, (value) => u32(value as number)],
  f32: [F32, (value) => f32(value as number)],
  bool: [BOOL, (value) => u8(value === true ? 1 : 0)],
  str: [STRING, (value) => text(value as string)],
};

/** A key as it stands in a file. */
function keyOf([name, kind, value]: Key): Uint8Array {
  const [type, bytes] = KINDS[kind.replace("[]", "")]!;
  if (!kind.endsWith("[]")) return key(name, type, bytes(value));
  const values = value as readonly unknown[]; // as its kind says
  return key(name, ARRAY, list(type, values.length, ...values.map(bytes)));
}

const [VOCAB, DIM, HIDDEN, DEPTH, HEADS] = [96, 32, 64, 2, 4];
const SIZES: readonly Key[] = [
  ["general.architecture", "str", "llama"],
  ["llama.context_length", "u32", 128],
  ["llama.embedding_length", "u32", DIM],
  ["llama.block_count", "u32", DEPTH],
  ["llama.feed_forward_length", "u32", HIDDEN],
  ["llama.attention.head_count", "u32", HEADS],
  ["llama.attention.layer_norm_rms_epsilon", "f32", 1e-5],
];

/** Names and sizes, the contiguous dimension first. */
const TENSORS: readonly (readonly [name: string, sizes: readonly number[]])[] = [
  ["token_embd.weight", [DIM, VOCAB]],
  ["output_norm.weight", [DIM]],
  ...Array.from({ length: DEPTH }, (_, i) => `blk.${i}`).flatMap((layer): readonly (readonly [string, number[]])[] => [
    [`${layer}.attn_norm.weight`, [DIM]],
    ...["q", "k", "v", "output"].map((map): readonly [string, number[]] => [`${layer}.attn_${map}.weight`, [DIM, DIM]]),
    [`${layer}.ffn_norm.weight`, [DIM]],
    [`${layer}.ffn_gate.weight`, [DIM, HIDDEN]],
    [`${layer}.ffn_up.weight`, [DIM, HIDDEN]],
    [`${layer}.ffn_down.weight`, [HIDDEN, DIM]],
  ]),
];

export function smallGguf(seed: number): Uint8Array {
  const rng = random(seed);
  let offset = 0;
  const data: Uint8Array[] = [];
  const tensors = TENSORS.map(([name, sizes]) => {
    const described = tensor(name, sizes, 0, offset);
    const count = sizes.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: count }, () => (sizes.length === 1 ? 1 : rng.normal() / Math.sqrt(DIM)));
    data.push(new Uint8Array(values.buffer)); // whole multiples of 32 bytes
    offset += values.byteLength;
    return described;
  });
  return file({ keys: [...SIZES, ...SMALL].map(keyOf), tensors, data: joined(...data) });
}
