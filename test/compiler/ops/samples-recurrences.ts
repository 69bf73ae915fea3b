// Samples of recurrences along the rows of each sequence.
import type { Bench } from "./bench.js";
import type { Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const NONE = { kind: "top", parent: "T", k: 0 } as const;

type Family = "shift" | "shifted_rows";

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
};
