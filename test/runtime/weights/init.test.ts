// Initial weights: the same bits on every machine, whatever else a model has.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ProgramWeight } from "../../../src/runtime/program/program.js";
import { initialValues } from "../../../src/runtime/index.js";
import { exactNormal } from "../../../src/ground/numerics/normal.js";
import { philox } from "../../../src/ground/numerics/philox.js";

const weight = (
  path: string,
  shape: readonly number[],
  init: ProgramWeight["init"],
  dtype: ProgramWeight["dtype"] = "f32",
): ProgramWeight => ({
  path,
  dtype,
  shape,
  init,
  keys: [path],
  slots: [],
});

const digest = (values: Float32Array | Uint32Array | Int32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex")
    .slice(0, 16);

const normal = { kind: "normal", std: 0.02 } as const;

describe("initial values", () => {
  // Digests of the bits: a change here changes every model that is trained from a seed. A separate port to Python gave
  // the same.
  const known: readonly (readonly [string, ProgramWeight, number, string])[] = [
    ["normal", weight("layers.0.attn.q.weight", [33, 17], normal), 0, "923bd8b4411c0d32"],
    ["normal of another seed", weight("layers.0.attn.q.weight", [33, 17], normal), 4294967295, "804798da368dccb2"],
    ["normal as f16", weight("layers.0.attn.q.weight", [33, 17], normal, "f16"), 0, "4fb4a1be3679fe6c"],
    [
      "uniform",
      weight("layers.0.attn.q.weight", [33, 17], { kind: "uniform", low: -0.1, high: 0.3 }),
      0,
      "380d1b4c242cdf8e",
    ],
    ["orthogonal, wide", weight("é.__proto__", [7, 19], { kind: "orthogonal", gain: 1.5 }), 0, "807e530ee2c722a6"],
    ["orthogonal, tall, three axes", weight("a", [19, 3, 2], { kind: "orthogonal", gain: 1 }), 0, "7ca553d6a0b76533"],
    ["normal, more than a piece", weight("embed.weight", [12291], normal), 77, "a35e6e3e52491892"],
    ["normal as f16, more than a piece", weight("embed.weight", [12291], normal, "f16"), 77, "ac9192fe31e9e778"],
    [
      "uniform, more than a piece",
      weight("embed.weight", [12291], { kind: "uniform", low: -0.1, high: 0.3 }),
      77,
      "fb4e2857e4f923e7",
    ],
    ["whole numbers", weight("w", [4099], { kind: "uniform", low: 0, high: 50257 }, "u32"), 77, "49966b036692e930"],
    ["orthogonal, more than a piece", weight("o", [70, 90], { kind: "orthogonal", gain: 1 }), 77, "3b31acdc5d1cfd8f"],
  ];
  for (const [what, w, seed, expected] of known) {
    it(`${what} have the same bits everywhere`, () => {
      expect(digest(initialValues(w, seed))).toBe(expected);
    });
  }

  it("depend on path, seed and element alone: a longer weight begins as a shorter one", () => {
    const short = initialValues(weight("w", [5], normal), 1);
    expect([...initialValues(weight("w", [64], normal), 1).subarray(0, 5)]).toEqual([...short]);
    expect(initialValues(weight("v", [5], normal), 1)).not.toEqual(short);
    expect(initialValues(weight("w", [5], normal), 2)).not.toEqual(short);
  });

  it("are the documented draws of Philox", () => {
    // FNV-1a of the single byte "a": (offset basis xor 0x61) times the prime, modulo 2^64.
    const h = ((0xcbf29ce484222325n ^ 0x61n) * 0x100000001b3n) & 0xffffffffffffffffn;
    const block = philox([1, 0, Number(h & 0xffffffffn), Number(h >> 32n)], [9, 0x696e6974]);
    const values = initialValues(weight("a", [4], { kind: "normal", std: 1 }), 9);
    expect([values[2], values[3]]).toEqual([
      Math.fround(exactNormal(block[0], block[1])),
      Math.fround(exactNormal(block[2], block[3])),
    ]);
  });

  it("have the moments asked for", () => {
    const n = 200_000;
    const values = Array.from(initialValues(weight("w", [n], { kind: "normal", std: 2 }), 5));
    const mean = values.reduce((s, v) => s + v, 0) / n;
    const deviation = Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / n);
    // Five standard errors: 2/√n and 2/√(2n).
    expect(Math.abs(mean)).toBeLessThan((5 * 2) / Math.sqrt(n));
    expect(Math.abs(deviation - 2)).toBeLessThan((5 * 2) / Math.sqrt(2 * n));
    const flat = Array.from(initialValues(weight("w", [n], { kind: "uniform", low: 3, high: 5 }), 5));
    expect(flat.every((v) => v >= 3 && v <= 5)).toBe(true);
    expect(Math.abs(flat.reduce((s, v) => s + v, 0) / n - 4)).toBeLessThan((5 * 2) / Math.sqrt(12 * n));
  });

  it("are orthonormal along the shorter side, times the gain", () => {
    for (const [rows, columns] of [
      [12, 40],
      [40, 12],
      [16, 16],
      [1, 5],
      [5, 1],
    ] as const) {
      const q = initialValues(weight("q", [rows, columns], { kind: "orthogonal", gain: 3 }), 2);
      const wide = rows <= columns;
      const at = (v: number, i: number): number => q[wide ? v * columns + i : i * columns + v]!;
      for (let a = 0; a < Math.min(rows, columns); a++)
        for (let b = 0; b <= a; b++) {
          let product = 0;
          for (let i = 0; i < Math.max(rows, columns); i++) product += at(a, i) * at(b, i);
          // Rounding each element to f32: 9 · 2^-24 for each of two factors.
          expect(Math.abs(product - (a === b ? 9 : 0))).toBeLessThan(2e-6);
        }
    }
  });

  it("are zeros and ones of every type", () => {
    expect([...initialValues(weight("b", [2], { kind: "zeros" }), 1)]).toEqual([0, 0]);
    expect(initialValues(weight("b", [2], { kind: "ones" }, "bool"), 1)).toEqual(Uint32Array.of(1, 1));
    expect(initialValues(weight("b", [], { kind: "ones" }, "i32"), 1)).toEqual(Int32Array.of(1));
  });
});
