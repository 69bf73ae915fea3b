// Samples of recurrences along the rows of each sequence.
import { rowsSize } from "../../../src/ground/size/size.js";
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { Bench, Random, Setting } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, within, type Tolerance } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const FORWARD = { dim: 0, reverse: false } as const;
const decaying = (random: Random): number => -random.uniform(0, 1.5);

interface Form {
  readonly name: string;
  readonly heads: number;
  readonly width: number;
  readonly columns: number;
  /** The heads of q, and of k. */
  readonly groups: readonly [number, number];
  readonly decay: "none" | "heads" | "dimensions";
  readonly forgets: boolean;
}

const FORMS: readonly Form[] = [
  { name: "sums", heads: 2, width: 4, columns: 4, groups: [1, 2], decay: "none", forgets: false },
  { name: "decays of heads", heads: 4, width: 3, columns: 5, groups: [2, 1], decay: "heads", forgets: false },
  { name: "decays of dimensions", heads: 6, width: 8, columns: 1, groups: [1, 3], decay: "dimensions", forgets: false },
  { name: "the delta rule", heads: 2, width: 4, columns: 8, groups: [2, 1], decay: "none", forgets: true },
  { name: "the gated delta rule", heads: 2, width: 6, columns: 3, groups: [1, 2], decay: "heads", forgets: true },
  { name: "all at once", heads: 2, width: 4, columns: 4, groups: [2, 2], decay: "dimensions", forgets: true },
];

const SETTINGS: readonly (readonly [string, Setting])[] = [
  ["unequal lengths", { batch: 3, tokens: 4, lengths: [2, 4, 0] }],
  ["a routed axis", { batch: 2, tokens: 5, lengths: [5, 3], axes: { K: { kind: "top", parent: "T", k: 2 } } }],
];

const flagsOf = ({ decay, forgets }: Form) => ({ scale: 0.75, decays: decay !== "none", forgets });

const isRouted = (b: Bench): boolean => b.axes.some(({ name }) => name === "K");
const ofChosen = (b: Bench, x: Node): Node => (isRouted(b) ? b.node("take", [x, b.index("K")], { dim: 1 }) : x);

/** The operands of a form, on the axis K if the setting has one. Small enough that what is forgotten stays bounded. */
function linearInputs(b: Bench, { heads, width, columns, groups: [own, other], decay, forgets }: Form): Node[] {
  if (isRouted(b)) b.top("K");
  const taken = (x: Node): Node => ofChosen(b, x);
  const small = (random: Random): number => random.uniform(-0.6, 0.6);
  const rows = (n: number, w: number, values = small): Node => taken(b.rows([n], [w], "f32", values));
  const decays = { none: [], heads: [taken(b.rows([heads], [], "f32", decaying))], dimensions: [] as Node[] };
  if (decay === "dimensions") decays.dimensions.push(rows(heads, width, decaying));
  return [
    rows(own, width),
    rows(other, width),
    rows(heads, columns),
    b.starts(isRouted(b) ? "K" : "T"),
    ...decays[decay],
    ...(forgets ? [rows(heads, width), rows(heads, width)] : []),
  ];
}

const accumulated: Tolerance = {
  relative: 2e-6,
  absolute: 1e-5,
  why: "sums of up to 300 rows one after the other, and exponentials that err by 3 + 2|x| units of the last place",
};

const NONE = { kind: "top", parent: "T", k: 0 } as const;

type Family =
  | "shift"
  | "shifted_rows"
  | "scan"
  | "linear_attention"
  | "linear_attention_from"
  | "linear_attention_grad";

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
  linear_attention: within(accumulated, [
    ...SETTINGS.flatMap(([name, setting]) =>
      FORMS.map((form): Sample<"linear_attention"> => ({
        name: `${name}, ${form.name}`,
        setting,
        build: (b) => b.node("linear_attention", linearInputs(b, form), flagsOf(form)),
      })),
    ),
    {
      name: "worked by hand",
      setting: { batch: 1, tokens: 2 },
      build: (b) =>
        b.node(
          "linear_attention",
          [
            b.rows([1], [1], "f32", [2, 3]),
            b.rows([1], [1], "f32", [5, 7]),
            b.rows([1], [2], "f32", [1, 10, 2, 20]),
            b.starts("T"),
          ],
          { scale: 0.5, decays: false, forgets: false },
        ),
      expected: [[5, 50, 28.5, 285]],
    },
  ]),
  linear_attention_from: within(
    accumulated,
    FORMS.map((form): Sample<"linear_attention_from"> => ({
      name: form.name,
      setting: UNEQUAL,
      build(b) {
        const inputs = linearInputs(b, form);
        const operands = form.forgets
          ? [...inputs.slice(0, -2), b.node("concat", inputs.slice(-2), { axis: 2 })]
          : inputs;
        return b.node(
          "linear_attention_from",
          [...operands, b.each([form.heads, form.width, form.columns])],
          flagsOf(form),
        );
      },
    })),
  ),
  linear_attention_grad: within(
    accumulated,
    SETTINGS.flatMap(([name, setting]) =>
      FORMS.map((form): Sample<"linear_attention_grad"> => ({
        name: `${name}, ${form.name}`,
        setting,
        build: (b) =>
          b.node(
            "linear_attention_grad",
            [...linearInputs(b, form), ofChosen(b, b.rows([form.heads], [form.columns]))],
            flagsOf(form),
          ),
      })),
    ),
  ),
};
