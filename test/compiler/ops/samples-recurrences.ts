// Samples of recurrences along the rows of each sequence.
import { rowsSize } from "../../../src/ground/size/size.js";
import type { Bench, Random } from "./bench.js";
import type { Samples } from "./samples.js";
import { exact, within, type Tolerance } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const FORWARD = { dim: 0, reverse: false } as const;
const decaying = (random: Random): number => -random.uniform(0, 1.5);

const accumulated: Tolerance = {
  relative: 2e-6,
  absolute: 1e-5,
  why: "sums of up to 300 rows one after the other, and exponentials that err by 3 + 2|x| units of the last place",
};

const NONE = { kind: "top", parent: "T", k: 0 } as const;

type Family = "shift" | "shifted_rows" | "scan";

export const recurrenceSamples: Samples<Family> = {
  shift: within(exact, [
    {
      name: "the row before",
      setting: UNEQUAL,
      build: (b) => b.node("shift", [b.rows([], [], "f32", [1, 2, 3, 4, 5, 6]), b.starts("T")], { dim: 0, by: 1 }),
      expected: [[0, 1, 0, 0, 0, 3, 4, 5, 0, 0, 0, 0]],
    },
    {
      name: "the row two behind",
      setting: UNEQUAL,
      build: (b) => b.node("shift", [b.rows([], [], "f32", [1, 2, 3, 4, 5, 6]), b.starts("T")], { dim: 0, by: -2 }),
      expected: [[0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0, 0]],
    },
    ...[1, 3, 7, -1, -3].map((by) => ({
      name: `rows between dimensions, ${by}`,
      setting: SEVEN,
      build: (b: Bench) => b.node("shift", [b.rows([2], [3]), b.starts("T")], { dim: 1, by }),
    })),
    {
      name: "whole numbers and truths",
      setting: SEVEN,
      build: (b) => b.node("shift", [b.rows([], [2], "bool"), b.starts("T")], { dim: 0, by: 1 }),
    },
    {
      name: "f16",
      setting: SEVEN,
      build: (b) => b.node("shift", [b.rows([], [2], "f16"), b.starts("T")], { dim: 0, by: 2 }),
    },
    {
      name: "a routed axis",
      setting: { ...SEVEN, axes: { K: TOP_2 } },
      build(b) {
        b.top("K");
        const taken = b.node("take", [b.rows([], [4]), b.index("K")], { dim: 0 });
        return b.node("shift", [taken, b.starts("K")], { dim: 0, by: 1 });
      },
    },
    {
      name: "of computed rows",
      setting: SEVEN,
      build: (b) => b.node("shift", [b.node("neg", [b.rows([], [4])], {}), b.starts("T")], { dim: 0, by: 1 }),
    },
  ]),
  shifted_rows: within(exact, [
    {
      name: "the row before",
      setting: UNEQUAL,
      build: (b) => b.node("shifted_rows", [b.starts("T")], { axis: "T", by: 1 }),
      expected: [
        [1, 0, 0, 0, 5, 2, 3, 4, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
      ],
    },
    ...[3, 8, -1, -6].map((by) => ({
      name: `by ${by}`,
      setting: SEVEN,
      build: (b: Bench) => b.node("shifted_rows", [b.starts("T")], { axis: "T", by }),
    })),
    {
      name: "an empty route",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (b.top("K"), b.node("shifted_rows", [b.starts("K")], { axis: "K", by: 1 })),
      expected: [[], []],
    },
  ]),
  scan: within(accumulated, [
    {
      name: "a sum",
      setting: UNEQUAL,
      build: (b) => b.node("scan", [b.rows([], [], "f32", [1, 2, 3, 4, 5, 6]), b.starts("T")], FORWARD),
      expected: [[1, 3, 0, 0, 3, 7, 12, 18, 0, 0, 0, 0]],
    },
    {
      name: "halves from the end",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "scan",
          [
            b.rows([], [], "f32", [1, 2, 3, 4, 5, 8]),
            b.starts("T"),
            b.node("constant", [], { value: -Math.LN2, dtype: "f32", shape: [rowsSize("T")] }),
          ],
          { dim: 0, reverse: true },
        ),
      expected: [[2, 2, 0, 0, 7.25, 8.5, 9, 8, 0, 0, 0, 0]],
    },
    ...[false, true].flatMap((reverse) => [
      {
        name: `decays of every element, reverse ${String(reverse)}`,
        setting: SEVEN,
        build: (b: Bench) =>
          b.node("scan", [b.rows([2], [3]), b.starts("T"), b.rows([2], [3], "f32", decaying)], { dim: 1, reverse }),
      },
      {
        name: `decays of rows, some beginning anew, of computed rows, reverse ${String(reverse)}`,
        setting: SEVEN,
        build(b: Bench) {
          const decays = b.rows([], [1], "f32", (r) => (r.below(3) === 0 ? -1e30 : decaying(r)));
          const spread = b.node("broadcast", [decays], { shape: [rowsSize("T"), 5] });
          return b.node("scan", [b.node("neg", [b.rows([], [5])], {}), b.starts("T"), spread], { dim: 0, reverse });
        },
      },
      {
        name: `a routed axis, rates of columns, reverse ${String(reverse)}`,
        setting: { ...SEVEN, axes: { K: TOP_2 } },
        build(b: Bench) {
          b.top("K");
          const taken = b.node("take", [b.rows([], [4]), b.index("K")], { dim: 0 });
          const rates = b.node("broadcast", [b.data("f32", [4], decaying)], { shape: [rowsSize("K"), 4] });
          return b.node("scan", [taken, b.starts("K"), rates], { dim: 0, reverse });
        },
      },
    ]),
    {
      name: "many rows",
      setting: { batch: 2, tokens: 300, lengths: [300, 17] },
      build: (b) => b.node("scan", [b.rows([], [40]), b.starts("T"), b.rows([], [40], "f32", decaying)], FORWARD),
    },
    {
      name: "an empty route",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build(b) {
        b.top("K");
        return b.node("scan", [b.node("take", [b.rows([], [4]), b.index("K")], { dim: 0 }), b.starts("K")], FORWARD);
      },
      expected: [[]],
    },
  ]),
};
