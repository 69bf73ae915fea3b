// The kernel of products of few rows or few columns, which shares out k among lanes: the same bits as the others,
// however many blocks of k there are, whatever the weight's encoding, and whatever tells it its rows.
import { beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../src/compiler/ir/graph.js";
import type { Precision, Target } from "../../src/runtime/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { tuningsFor, type ProductTuning, type Tunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { mixture } from "../compiler/ops/mixture.js";
import { byTurns } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

const row = (rows: number, vectors: number): ProductTuning => ({ kind: "row", rows, vectors });
const TILES = [row(1, 4), row(2, 8), row(4, 1)];
const nameOf = (tuning: ProductTuning): string => (tuning.kind === "row" ? `${tuning.rows} × ${tuning.vectors}` : "");

/** Products by this kernel alone. */
function forced(target: Target, tuning: ProductTuning, panel = 32): Tunings {
  const cases = [{ most: null, tuning }];
  const own = { byWeight: cases, byWeightAnyRows: cases, byValue: tuning };
  return { ...tuningsFor(target), products: { subgroupSize: null, panel, leastColumns: 1, shapes: [], ...own } };
}
const usual = (target: Target): Tunings => forced(target, { kind: "vectors", rows: 1, vectors: 1 });

const product = (M: number, K: number, N: number, transposed = true): Case => {
  const b = new Bench({}, 7);
  return b.finish(
    b.node("matmul", [b.data("f32", [M, K]), b.weight("w", "f32", transposed ? [N, K] : [K, N])], { transposed }),
    "product",
  );
};
const filesOf = ({ graph }: Case, target: Target, tunings?: Tunings): readonly string[] =>
  schedule(graph, target, tunings).steps.flatMap((s) => (s.kind === "dispatch" ? [s.kernel.file] : []));

let device: Device;
beforeAll(async () => void (device = await testDevice()));

const bitsOf = async (own: Case, tunings: Tunings, precision: Precision = {}): Promise<readonly number[]> => [
  ...((await runOnDevice(device, own, device.target, tunings, precision))["y0"]!.data as Float32Array),
];

// Mesa compiles this kernel in 2 to 4 s, for it is written for GPUs.
const SLOW = { timeout: 180_000 } as const;

/** One k, less than a block, whole blocks, a part of one behind them, and more than a round has. */
const SHAPES = [
  [1, 1, 5],
  [3, 40, 131],
  [1, 128, 16],
  [5, 150, 33],
  [2, 1100, 20],
] as const;

// In the short run each shape and each encoding in one tile.
describe.each(TILES.map((tile, turn) => [nameOf(tile), tile, turn] as const))("%s", SLOW, (_name, tile, turn) => {
  it.each(byTurns(SHAPES, TILES.length, turn))("has the same bits for %i × %i × %i", async (M, K, N) => {
    const own = product(M, K, N);
    expect(filesOf(own, device.target, forced(device.target, tile))).toEqual(["matmul_row"]);
    expect(await bitsOf(own, forced(device.target, tile))).toEqual(await bitsOf(own, usual(device.target)));
  });

  it.each(byTurns(["f16", "bf16", "q8", "q4"] as const, TILES.length, turn))(
    "has the same bits by weights in %s",
    { tags: "long" },
    async (weights) => {
      for (const [M, K, N] of [
        [1, 32, 9],
        [3, 1120, 20],
      ] as const) {
        const own = product(M, K, N);
        const expected = await bitsOf(own, usual(device.target), { weights });
        expect(await bitsOf(own, forced(device.target, tile), { weights })).toEqual(expected);
      }
    },
  );

  it("has the same bits for groups of rows, some of them empty", { tags: "long" }, async () => {
    const sizes = { dim: 64, hidden: 96, experts: 9, k: 2 };
    const b = new Bench({ tokens: 5 }, 9);
    const own = b.finish(mixture(b, b.rows([], [sizes.dim]), sizes), "rows");
    expect(filesOf(own, device.target, forced(device.target, tile))).toContain("matmul_row");
    for (const precision of tile === TILES[0] ? [{}, { weights: "q8" } as const] : [{}])
      expect(await bitsOf(own, forced(device.target, tile), precision)).toEqual(
        await bitsOf(own, usual(device.target), precision),
      );
  });

  it("agrees with the reference by a computed matrix, batch by batch, with an operator before it and behind it", async () => {
    const b = new Bench({ batch: 2, tokens: 3, lengths: [3, 2] }, 5);
    const less = (node: Node): Node => b.node("neg", [node], {});
    const y = b.node("matmul", [less(b.data("f32", [2, 3, 70])), less(b.data("f32", [2, 70, 36]))], {
      transposed: false,
    });
    const own = b.finish(less(y), "values");
    expect(filesOf(own, device.target, forced(device.target, tile))).toContain("matmul_row");
    await compareOnDevice(device, "matmul", own, device.target, forced(device.target, tile));
  });
});

describe("on a GPU", SLOW, () => {
  it.each(["integrated", "discrete"] as const)("of class %s few rows or columns take it", async (name) => {
    const target: Target = { ...device.target, device: name, subgroups: null };
    for (const [M, K, N] of [
      [1, 130, 100],
      [8, 40, 96],
      [1, 96, 1],
      [70, 96, 8],
      [70, 130, 31],
    ] as const) {
      const own = product(M, K, N);
      expect(filesOf(own, target)).toEqual(["matmul_row"]);
      await compareOnDevice(device, "matmul", own, target);
    }
    expect(filesOf(product(70, 96, 96), target)).not.toContain("matmul_row");
  });

  it("weights of few columns are read in every encoding, with the same bits", async () => {
    const target: Target = { ...device.target, device: "discrete", subgroups: null };
    for (const [weights, columns] of [
      ["f32", 1],
      ["f16", 6],
      ["q8", 3],
      ["q4", 20],
    ] as const) {
      const own = product(1, 96, columns);
      const { y0 } = await runOnDevice(device, own, target, tuningsFor(target), { weights });
      expect([...(y0!.data as Float32Array)]).toEqual(await bitsOf(own, usual(device.target), { weights }));
    }
  });

  it("computed matrices of few columns take it, and software devices have none of it", () => {
    const b = new Bench({}, 5);
    const twice = (node: Node): Node => b.node("add", [node, node], {});
    const own = b.finish(
      b.node("matmul", [b.data("f32", [1, 40]), twice(b.data("f32", [40, 8]))], { transposed: false }),
      "values",
    );
    expect(filesOf(own, { ...device.target, device: "discrete", subgroups: null })).toContain("matmul_row");
    for (const which of ["mesa-software", "swiftshader", "portable"] as const)
      for (const c of [own, product(1, 64, 64), product(9, 64, 8)])
        expect(filesOf(c, { ...device.target, device: which })).not.toContain("matmul_row");
  });
});
