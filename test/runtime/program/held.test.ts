// Which numbers a type of weights holds, and how the first that it does not is named.
import { describe, expect, it } from "vitest";
import type { EncodingName } from "../../../src/runtime/program/encodings/encoding.js";
import { unheldIn } from "../../../src/runtime/program/encodings/held.js";
import { rounded } from "../../../src/runtime/program/encodings/rounded.js";

const faultOf = (values: Float32Array, shape: readonly number[], type: EncodingName): string | null =>
  unheldIn({ path: "w", shape }, values, type);

/** A matrix of 2 rows and 64 columns with one number in it. */
const withOne = (value: number): Float32Array => {
  const values = new Float32Array(128).fill(0.5);
  values[64 + 33] = value;
  return values;
};

describe("a type of weights", () => {
  it.each<readonly [EncodingName, number, number]>([
    ["f16", 65519, 65520],
    ["bf16", 3.38e38, 3.4e38],
    ["q8", 8.32e6, 9e6],
    ["q4", 524000, 524160],
  ])("%s holds %d and not %d, whatever the sign", (type, held, beyond) => {
    const remedy = type === "bf16" ? "f32 does" : "bf16 and f32 do";
    for (const sign of [1, -1]) {
      expect(faultOf(withOne(sign * held), [2, 64], type)).toBe(null);
      expect(rounded[type](withOne(sign * held), 1).every(Number.isFinite)).toBe(true);
      expect(rounded[type](withOne(sign * held), 1)[97]! / (sign * held)).toBeGreaterThan(0.8);
      expect(faultOf(withOne(sign * beyond), [2, 64], type)).toBe(
        `w[1, 33] is ${Math.fround(sign * beyond)}, which ${type} does not hold: ${remedy}`,
      );
    }
  });

  it("holds NaN and infinity in two bytes, and not in blocks, where 31 others would be lost", () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      for (const type of ["word", "f16", "bf16"] as const) expect(faultOf(withOne(value), [2, 64], type)).toBe(null);
      for (const type of ["q8", "q4"] as const)
        expect(faultOf(withOne(value), [2, 64], type)).toBe(`w[1, 33] is ${value}, which ${type} does not hold`);
    }
  });
});
