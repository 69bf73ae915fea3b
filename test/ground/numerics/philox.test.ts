// Random numbers: the published vectors, distributions, and the same bits everywhere.
import { describe, expect, it } from "vitest";
import { erf } from "../../../src/compiler/ops/pointwise.js";
import { exactLog, exactNormal, exactNormals } from "../../../src/ground/numerics/normal.js";
import { normalOf, philox, philoxBlocks, uniformOf, type Words } from "../../../src/ground/numerics/philox.js";

const ALL = 0xffffffff;

describe("philox", () => {
  // kat_vectors of Random123, philox4x32 with 10 rounds
  it.each<[counter: Words, key: readonly [number, number], words: Words]>([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ALL, ALL, ALL, ALL],
      [ALL, ALL],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])("of counter %j and key %j is as published", (counter, key, words) => {
    expect(philox(counter, key)).toEqual(words);
  });

  it("gives a run of blocks as it gives each, also where the counter's first word ends", () => {
    const words = new Int32Array(4 * 5);
    philoxBlocks(words, [ALL - 2, 7, ALL, 0x80000000], [0xdeadbeef, 3]);
    const each = [ALL - 2, ALL - 1, ALL, 0, 1].flatMap((first) => philox([first, 7, ALL, 0x80000000], [0xdeadbeef, 3]));
    expect([...words].map((w) => w >>> 0)).toEqual(each);
  });
});

describe("distributions", () => {
  const words = Array.from({ length: 20_000 }, (_, i) => philox([i, 0, 0, 0], [7, 7]));
  const moments = (values: readonly number[]): readonly [mean: number, variance: number] => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length];
  };

  // Means of 20,000 draws lie within four standard errors; the seed is fixed, so these cannot fail by chance.
  it("uniform values fill [0, 1)", () => {
    const values = words.map(uniformOf);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    const [mean, variance] = moments(values);
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.0082);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.0022);
    expect(values.every((v) => v === Math.fround(v))).toBe(true);
  });

  it.each<[name: string, of: (w: Words) => number]>([
    ["Box and Muller's", normalOf],
    ["exact", ([x, y]) => exactNormal(x, y)],
  ])("%s normal values have mean 0 and variance 1", (_name, of) => {
    const [mean, variance] = moments(words.map(of));
    expect(Math.abs(mean)).toBeLessThan(0.0283);
    expect(Math.abs(variance - 1)).toBeLessThan(0.04);
  });

  it("never gives infinity at the ends", () => {
    expect(normalOf([0, 0, 0, 0])).toBeCloseTo(Math.sqrt(48 * Math.LN2), 12);
    expect(normalOf([ALL, 0, 0, 0])).toBeCloseTo(0, 12);
    expect(exactNormal(ALL, ALL)).toBe(-exactNormal(0, 0));
    expect(Math.abs(exactNormal(0, 0))).toBeLessThan(9);
  });
});

describe("exact arithmetic", () => {
  it("takes logarithms within 4e-16", () => {
    for (let i = -300; i <= 300; i++) {
      const x = 1.1 ** i * 1.0000001;
      expect(Math.abs(exactLog(x) - Math.log(x))).toBeLessThanOrEqual(4e-16 * Math.max(1, Math.abs(Math.log(x))));
    }
  });

  // Φ(z) by the error function; in the middle the inverse is good to 1e-15, and Φ to a few 1e-16.
  it("inverts the normal distribution", () => {
    for (let i = 1; i < 200; i++) {
      const word = Math.floor((i / 200) * 2 ** 32);
      const z = exactNormal(word, 0x80000000);
      expect(Math.abs(0.5 * (1 + erf(z / Math.SQRT2)) - (word + 0.5) / 2 ** 32)).toBeLessThan(2e-15);
    }
  });

  it("gives many as it gives each", () => {
    const words = new Int32Array(4096);
    philoxBlocks(words, [5, 0, 0, 0], [1, 2]);
    words.set([0, 0, -1, -1, 0, 1 << 11, 0x7fffffff, -1, -0x80000000, 0]);
    const many = new Float64Array(2048);
    exactNormals(many, words);
    expect([...many]).toEqual(
      Array.from({ length: 2048 }, (_, i) => exactNormal(words[2 * i]! >>> 0, words[2 * i + 1]! >>> 0)),
    );
  });

  it("gives these bits on every machine", () => {
    const bits = (x: number): string => new BigUint64Array(new Float64Array([x]).buffer)[0]!.toString(16);
    expect(
      [
        exactNormal(0x12345678, 0x9abcdef0),
        exactNormal(0xdeadbeef, 1),
        exactNormal(1, 2),
        exactNormal(0x80000000, 0),
      ].map(bits),
    ).toMatchInlineSnapshot(`
      [
        "bff77b26344b88f0",
        "3ff20293480fbc0e",
        "c018ebc94dc746ee",
        "3ca40d931ff62707",
      ]
    `);
  });
});
