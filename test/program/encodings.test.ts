// Encodings: pieces of any length, in any order, fill their words; kernels read the nearest value that there is.
import { describe, expect, it } from "vitest";
import { f16Values } from "../../src/base/f16.js";
import { bytesOf, fits } from "../../src/program/encodings/encoding.js";
import { ENCODING_NAMES, encodings, rounded, type EncodingName } from "../../src/program/encodings/index.js";
import { random } from "../random.js";

/** The values of bytes, as kernels decode them. */
const DECODE: Readonly<Record<EncodingName, (bytes: ArrayBuffer) => Float32Array>> = {
  word: (bytes) => new Float32Array(bytes),
  f16: (bytes) => Float32Array.from(new Uint16Array(bytes), (bits) => f16Values()[bits]!),
  bf16: (bytes) => Float32Array.from(new Uint16Array(bytes), bf16Value),
};
const bf16Value = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;

/** What lies in memory of values that come in these pieces. */
function packed(name: EncodingName, values: Float32Array, pieces: readonly (readonly [number, number])[]): ArrayBuffer {
  const memory = new Uint8Array(bytesOf(encodings[name], values.length));
  const written = new Set<number>();
  const packer = encodings[name].pack((piece, byte) => {
    const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    expect([bytes.length % 4, byte % 4]).toEqual([0, 0]); // what a queue takes
    for (let at = byte; at < byte + bytes.length; at += 4) {
      expect(written.has(at)).toBe(false);
      written.add(at);
    }
    memory.set(bytes, byte);
  }, 1);
  for (const [from, to] of pieces) packer.add(values.subarray(from, to), from);
  packer.finish();
  expect(4 * written.size).toBe(memory.length);
  return memory.buffer;
}

describe.each(ENCODING_NAMES)("%s", (name) => {
  it.each([1, 2, 3, 64, 65])("gives what is read of %i values, each word written once, however they come", (count) => {
    for (let seed = 0; seed < 50; seed++) {
      const rng = random(100 * count + seed);
      const values = Float32Array.from({ length: count }, () => rng.normal());
      const between = Array.from({ length: rng.below(5) }, () => rng.below(count + 1));
      const cuts = [0, count, ...between].toSorted((a, b) => a - b);
      const pieces = cuts.slice(1).map((end, i) => [cuts[i]!, end] as const);
      pieces.sort(() => rng.below(3) - 1);
      const read = DECODE[name](packed(name, values, pieces)).subarray(0, count);
      expect(Array.from(read)).toEqual(Array.from(rounded[name](values)));
    }
  });
});

it("a block with a scale counts it, and only weights of whole blocks are stored so", () => {
  const scaled = { ...encodings.word, block: { values: 32, bytes: 36 } };
  expect(bytesOf(scaled, 4096)).toBe(128 * 36);
  expect([[64, 96], [64], [2, 64, 32]].map((shape) => fits(scaled, shape))).toEqual([true, true, true]);
  expect(
    [
      [64, 95],
      [48, 64],
      [2, 64, 33],
    ].map((shape) => fits(scaled, shape)),
  ).toEqual([false, false, false]);
});

it("bf16 rounds to the nearest value, ties to even, and keeps NaN", () => {
  const values: number[] = [];
  for (let bits = 0; bits < 0x7f80; bits += 5) {
    const [low, high] = [bf16Value(bits), bf16Value(bits + 1)];
    const middle = Math.fround(low / 2 + high / 2);
    values.push(low, -low, middle, -middle, Math.fround(low + (middle - low) / 2));
  }
  values.push(NaN, Infinity, -Infinity, 3.4028234663852886e38);
  const nearest = values.map((x) => {
    if (!Number.isFinite(x)) return x;
    const bits = new Uint32Array(Float32Array.of(Math.abs(x)).buffer)[0]!;
    const [low, high] = [bits >>> 16, (bits >>> 16) + 1];
    const rest = bits & 0xffff;
    const up = rest > 0x8000 || (rest === 0x8000 && low % 2 === 1);
    return Math.sign(x) * bf16Value(up ? high : low);
  });
  expect(Array.from(rounded.bf16(Float32Array.from(values)), Math.abs)).toEqual(nearest.map(Math.abs));
});
