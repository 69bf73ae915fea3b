// Weights in the order their kernels read them.
import { describe, expect, it } from "vitest";
import { packedLength, type PanelLayout, type Program } from "../../../src/runtime/program/program.js";
import { subgroupWidth } from "../../../src/runtime/program/target.js";
import { UnsupportedError, load } from "../../../src/runtime/index.js";
import { forEachPiece, type OpenPanels } from "../../../src/runtime/weights/layout.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { scaleProgram } from "../run/programs.js";

/** Packs several weights into one slot. */
function pack(weights: readonly { readonly values: Float32Array; readonly layout: PanelLayout }[]): {
  readonly out: Float32Array;
  readonly pieces: number;
} {
  const out = new Float32Array(packedLength(weights[0]!.layout, weights[0]!.values.length)).fill(NaN);
  const open: OpenPanels = new Map();
  let pieces = 0;
  for (const { values, layout } of weights)
    forEachPiece(values, layout, open, (words, at) => {
      out.set(words, at);
      pieces++;
    });
  expect(open.size).toBe(0);
  return { out, pieces };
}

/** As the layout's comment says, element by element. */
function expected(weights: readonly { readonly values: Float32Array; readonly layout: PanelLayout }[]): Float32Array {
  const [{ layout: head, values: some }] = weights as [(typeof weights)[0]];
  const panels = Math.ceil(head.total / head.columns);
  const matrices = some.length / (head.depth * head.width);
  const out = new Float32Array(matrices * panels * head.depth * head.columns);
  for (const { values, layout } of weights) {
    const { depth: K, width: N, transposed, columns, first, pairs: D } = layout;
    for (let m = 0; m < matrices; m++)
      for (let n = 0; n < N; n++) {
        const logical = first + n;
        const [g, h, j] =
          D === 0 ? [0, 0, 0] : [Math.floor(logical / (2 * D)), Math.floor((logical % (2 * D)) / D), logical % D];
        const place = D === 0 ? logical : g * 2 * D + 2 * j + h;
        for (let k = 0; k < K; k++)
          out[((m * panels + Math.floor(place / columns)) * K + k) * columns + (place % columns)] =
            values[m * K * N + (transposed ? n * K + k : k * N + n)]!;
      }
  }
  return out;
}

const numbers = (count: number, seed = 3): Float32Array => {
  const rng = random(seed);
  return Float32Array.from({ length: count }, () => rng.normal());
};

const alone = (depth: number, width: number, transposed: boolean, columns: number): PanelLayout => ({
  kind: "panels",
  depth,
  width,
  transposed,
  columns,
  first: 0,
  total: width,
  pairs: 0,
});

const sameBits = (a: Float32Array, b: Float32Array): void =>
  expect(Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer))).toBe(0);

describe("panels", () => {
  it.each([
    ["of a whole number of columns", 1, 8, 64, 32],
    ["the last of which is padded", 1, 7, 33, 32],
    ["of a matrix narrower than one", 1, 5, 3, 16],
    ["of several matrices", 3, 5, 19, 8],
    ["that go in several pieces", 2, 1000, 1500, 64],
    ["larger than a piece", 1, 40_000, 33, 32],
  ] as const)("%s", { tags: "long" }, (_name, matrices, depth, width, columns) => {
    for (const transposed of [false, true]) {
      const weights = [{ values: numbers(matrices * depth * width), layout: alone(depth, width, transposed, columns) }];
      sameBits(pack(weights).out, expected(weights));
    }
  });
  it.each([
    ["in panels of their own", 1, 8, [64, 32, 32], 32, 0],
    ["that share panels", 1, 7, [20, 12, 40, 4], 32, 0],
    ["all in one panel", 1, 5, [4, 8, 4], 32, 0],
    ["of several matrices", 3, 5, [12, 7], 8, 0],
    ["a piece at a time", 1, 1000, [1500, 500, 500], 64, 0],
    ["in pairs", 1, 6, [32, 16, 16], 32, 8],
    ["in pairs that lie across panels", 2, 3, [48, 24, 24], 16, 12],
    ["in pairs that lie across weights", 1, 3, [10, 6], 4, 8],
  ] as const)("of weights side by side, %s", (_name, matrices, depth, widths, columns, pairs) => {
    const total = widths.reduce((n: number, w) => n + w, 0);
    for (const transposed of [false, true]) {
      let first = 0;
      const weights = widths.map((width, i) => {
        const layout: PanelLayout = { kind: "panels", depth, width, transposed, columns, first, total, pairs };
        first += width;
        return { values: numbers(matrices * depth * width, i), layout };
      });
      sameBits(pack(weights).out, expected(weights));
      sameBits(pack(weights.toReversed()).out, expected(weights));
    }
  });
  it("are made a piece at a time", () => {
    const { pieces } = pack([{ values: numbers(2_000_000), layout: alone(1000, 2000, true, 64) }]);
    expect(pieces).toBeGreaterThan(1);
  });
});

it("a weight as given goes as it is", () => {
  const values = numbers(10);
  forEachPiece(values, { kind: "given" }, new Map(), (words, at) => {
    expect(words).toBe(values);
    expect(at).toBe(0);
  });
});

describe("a program whose kernels rely on what the device lacks", () => {
  it("is refused before anything is allocated", async () => {
    const device = await testDevice();
    const width = (subgroupWidth(device.target) ?? 8) * 2;
    const program = {
      ...scaleProgram(),
      target: { ...device.target, device: "discrete" },
      requires: { features: ["subgroups"], subgroupSize: width },
    } as const;
    const refused = load(program, device);
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow(new RegExp(`compiled for discrete and needs .*subgroups of ${width}`));
  });
  it("is refused where subgroups may be narrower than it needs, and runs where none is", async () => {
    const device = await testDevice();
    const narrowest = device.target.subgroups?.[0] ?? 0;
    const needing = (leastSubgroup: number): Program => ({
      ...scaleProgram(),
      requires: { features: [], subgroupSize: null, leastSubgroup },
    });
    await expect(load(needing(narrowest + 1), device)).rejects.toThrow(`subgroups of ${narrowest + 1} or more`);
    (await load(needing(narrowest), device)).dispose();
  });
});
