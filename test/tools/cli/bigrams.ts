// A model of bigrams over bytes, whose log-probabilities are known by hand.
import type { temporaryFolder } from "./spawn.js";

const SOURCE = `import { Embedding } from "std"

model Bigrams() {
  next: Embedding(256, 256)

  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 256] { next(tokens) }
}
`;

/** Known successors and their probabilities. All other bytes share the rest. */
const SHARES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  a: { b: 0.6, c: 0.3 },
  b: { a: 0.8 },
  c: { c: 0.9 },
};

/** The probability of a byte behind another. */
export function shareOf(before: number, byte: number): number {
  const own = SHARES[String.fromCharCode(before)] ?? {};
  const given = Object.values(own).reduce((a, b) => a + b, 0);
  return own[String.fromCharCode(byte)] ?? (1 - given) / (256 - Object.keys(own).length);
}

/** Writes the model and its weights; returns the words that name them. */
export function bigramsIn(folder: Pick<ReturnType<typeof temporaryFolder>, "file">): readonly string[] {
  const table = Float32Array.from({ length: 256 * 256 }, (_, i) => Math.log(shareOf(Math.floor(i / 256), i % 256)));
  const header = { "next.table": { dtype: "F32", shape: [256, 256], data_offsets: [0, table.byteLength] } };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const weights = folder.file("bigrams.safetensors", Buffer.concat([length, text, Buffer.from(table.buffer)]));
  return [folder.file("bigrams.mod", SOURCE), "--weights", weights];
}
