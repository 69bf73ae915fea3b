// Encodings: pieces of any length, in any order, fill their words; kernels read the nearest value that there is.
import { describe, expect, it } from "vitest";
import { f16Values, roundToF16 } from "../../../src/ground/base/f16.js";
import { bytesOf, fits, type WritePiece } from "../../../src/runtime/program/encodings/encoding.js";
import { ENCODING_NAMES, encodings, type EncodingName } from "../../../src/runtime/program/encodings/index.js";
import { rounded } from "../../../src/runtime/program/encodings/rounded.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";

/** The values of bytes whose blocks are `stride` apart, as kernels decode them. */
const DECODE: Readonly<Record<EncodingName, (bytes: ArrayBuffer, count: number, stride: number) => Float32Array>> = {
  word: (bytes) => new Float32Array(bytes),
  f16: (bytes) => Float32Array.from(new Uint16Array(bytes), (bits) => f16Values()[bits]!),
  bf16: (bytes) => Float32Array.from(new Uint16Array(bytes), bf16Value),
  q8: (bytes, count, stride) => blockValues(bytes, count, stride, 8),
  q4: (bytes, count, stride) => blockValues(bytes, count, stride, 4),
};
const bf16Value = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;

/** Integers first, of 16 bytes four columns where the stride allows it; then a scale for each block. */
function blockValues(bytes: ArrayBuffer, count: number, stride: number, bits: number): Float32Array {
  const integers = new Uint8Array(bytes);
  const scales = new Uint16Array(bytes, (count * bits) / 8);
  const rows = 32 / bits;
  return Float32Array.from({ length: count }, (_, at) => {
    const [group, within] = [Math.floor(at / (32 * stride)), at % (32 * stride)];
    const [k, column] = [Math.floor(within / stride), within % stride];
    let bit = within * bits;
    if (stride % 8 === 0) {
      const vector = Math.floor(k / rows) * (stride / 4) + Math.floor(column / 4);
      const word = bits === 8 ? k % 4 : Math.floor((k % 8) / 2);
      bit = vector * 128 + word * 32 + (column % 4) * 8 + (bits === 4 ? (k % 2) * 4 : 0);
    }
    bit += group * 32 * stride * bits;
    const byte = integers[Math.floor(bit / 8)]!;
    const integer = bits === 8 ? (byte << 24) >> 24 : ((byte >> (bit % 8)) & 15) - 8;
    return f16Values()[scales[group * stride + column]!]! * integer;
  });
}

/** The memory's content after writing the values in these pieces. */
async function packed(
  name: EncodingName,
  values: Float32Array,
  pieces: readonly (readonly [number, number])[],
  stride = 1,
): Promise<ArrayBuffer> {
  const memory = new Uint8Array(bytesOf(encodings[name], values.length));
  const written = new Set<number>();
  const write: WritePiece = (piece, byte) => {
    const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    expect([bytes.length % 4, byte % 4]).toEqual([0, 0]); // what a queue takes
    for (let at = byte; at < byte + bytes.length; at += 4) {
      expect(written.has(at)).toBe(false);
      written.add(at);
    }
    memory.set(bytes, byte);
  };
  const packer = (await encodings[name].packing())(write, stride, values.length);
  for (const [from, to] of pieces) packer.add(values.subarray(from, to), from);
  packer.finish?.();
  expect(4 * written.size).toBe(memory.length);
  return memory.buffer;
}

const scaled = (name: EncodingName): boolean => encodings[name].block.values > 1;

describe.each(ENCODING_NAMES)("%s", (name) => {
  it.each(scaled(name) ? [32, 64, 96, 2048] : [1, 2, 3, 64, 65])(
    "gives what is read of %i values, each word written once, however they come",
    async (count) => {
      for (let seed = 0; seed < (soaking ? 50 : 10); seed++) {
        const rng = random(100 * count + seed);
        const values = Float32Array.from({ length: count }, () => rng.normal());
        const between = Array.from({ length: rng.below(5) }, () => rng.below(count + 1));
        const cuts = [0, count, ...between].toSorted((a, b) => a - b);
        const pieces = cuts.slice(1).map((end, i) => [cuts[i]!, end] as const);
        pieces.sort(() => rng.below(3) - 1);
        const strides = [1, 3, 8, 32].filter((s) => !scaled(name) || count % (32 * s) === 0);
        const stride = strides[rng.below(strides.length)]!;
        const read = DECODE[name](await packed(name, values, pieces, stride), count, stride).subarray(0, count);
        expect(Array.from(read)).toEqual(Array.from(rounded[name](values, stride)));
      }
    },
  );
});

it("a block with a scale counts it, and only whole blocks are stored so", () => {
  expect([bytesOf(encodings.q8, 4096), bytesOf(encodings.q4, 4096)]).toEqual([128 * 34, 128 * 18]);
  expect([64, 32, 33, 48].map((extent) => fits(encodings.q8, extent))).toEqual([true, true, false, false]);
});

describe.each([
  ["q8", 127],
  ["q4", 8],
] as const)("%s", (name, most) => {
  const rng = random(77);
  const block = (): Float32Array => Float32Array.from({ length: 32 }, () => rng.normal());
  const error = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
    Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

  it("rounds to the nearest integer of a scale that reaches the largest value", () => {
    for (let n = 0; n < (soaking ? 200 : 40); n++) {
      const values = block();
      const largest = Math.max(...values.map(Math.abs));
      // Half a step; a whole one at the end that four bits do not reach, and the rounding of the scale.
      expect(error(rounded[name](values, 1), values)).toBeLessThan(
        (largest / (most - 1)) * (name === "q8" ? 0.51 : 1.01),
      );
    }
  });

  it("keeps what it made, to the last bit, and every block of integers and a scale", () => {
    for (let n = 0; n < (soaking ? 200 : 40); n++) {
      const once = rounded[name](block(), 1);
      expect(rounded[name](once, 1).map((x) => x + 0)).toEqual(once.map((x) => x + 0));
      const scale = roundToF16(rng.normal() * 10 ** (rng.below(6) - 4));
      const range = 1 + rng.below(most - 1);
      const whole = Float32Array.from({ length: 32 }, () => (rng.below(2 * range) - range) * scale);
      expect(rounded[name](whole, 1).map((x) => x + 0)).toEqual(whole.map((x) => x + 0)); // but for the sign of zero
    }
  });

  it("makes zeros of zeros, and NaN of what is not finite", () => {
    expect(Array.from(rounded[name](new Float32Array(32), 1))).toEqual(Array.from({ length: 32 }, () => 0));
    for (const bad of [NaN, Infinity]) {
      const values = block();
      values[5] = bad;
      expect(rounded[name](values, 1).every(Number.isNaN)).toBe(true);
    }
  });
});

it("q4 loses less than GGUF's Q4_0, whose largest value is always -8 times the scale", () => {
  const rng = random(5);
  let [own, theirs] = [0, 0];
  for (let n = 0; n < 100; n++) {
    const values = Float32Array.from({ length: 32 }, () => rng.normal());
    const top = values.reduce((a, x) => (Math.abs(x) > Math.abs(a) ? x : a));
    const scale = roundToF16(top / -8);
    const q4 = rounded.q4(values, 1);
    values.forEach((x, i) => {
      own += (x - q4[i]!) ** 2;
      theirs += (x - scale * Math.min(7, Math.floor(x / scale + 8.5) - 8)) ** 2;
    });
  }
  expect(own / theirs).toBeLessThan(0.95);
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
  expect(Array.from(rounded.bf16(Float32Array.from(values), 1), Math.abs)).toEqual(nearest.map(Math.abs));
});
