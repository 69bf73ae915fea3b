// Samples of entries in groups: of one group and many, groups without rows, entries without a group, no row at all.
import { rational } from "../../../src/ground/numerics/rational.js";
import type { Node } from "../../../src/compiler/ir/graph.js";
import { multiplySizes, rowsSize } from "../../../src/ground/size/size.js";
import type { Bench, Setting } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, product, within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 1] } as const;
const ROUTED = { batch: 2, tokens: 6, axes: { A: { kind: "above", parent: "T", expected: rational(1, 2) } } } as const;

interface Sorted {
  readonly entries: Node;
  readonly rows: Node;
  readonly place: Node;
  readonly starts: Node;
}

/**
 * Sorted entries of T's rows. Groups are random, and some entries have no group, unless `only` names one group for all.
 */
function sorted(b: Bench, k: number, groups: number, only?: number): Sorted {
  const group = b.rows([], [k], "u32", (random) => only ?? random.below(groups + 1));
  return results(b, b.node("sort_entries", [group], { groups }));
}

function results(b: Bench, node: Node): Sorted {
  const [entries, rows, place, starts] = [0, 1, 2, 3].map((i) => b.emit.pick(node, i)) as [Node, Node, Node, Node];
  return { entries, rows, place, starts };
}

/** Entries of the rows of an axis whose counts only the device knows. */
function sortedRoute(b: Bench, k: number, groups: number): Sorted {
  b.above("A", b.rows([], []), b.data("f32", [], [0]));
  const group = b.rows([], [k], "u32", (random) => random.below(groups));
  const own = b.node("take", [group, b.index("A")], { dim: 0 });
  return results(b, b.node("sort_entries", [own], { groups }));
}

/** Each of four groups has two rows of a sequence, or all: the entries of all others are not listed. */
const LISTED = { ...UNEQUAL, axes: { K: { kind: "top", parent: "T", k: 2 } } } as const;

function listedSort(b: Bench): Node<"sort_entries"> {
  const mask = b.emit.pick(b.topRows("K", b.rows([], [4])), 0);
  const group = b.node("those_entries", [mask], { choice: "" });
  return b.node("sort_entries", [group], { groups: 4, list: multiplySizes(4, rowsSize("K")) });
}

const listed = (b: Bench): Sorted => results(b, listedSort(b));

interface Form {
  readonly name: string;
  readonly setting: Setting;
  readonly k: number;
  readonly groups: number;
  readonly only?: number;
}

const FORMS: readonly Form[] = [
  { name: "unequal lengths", setting: UNEQUAL, k: 2, groups: 5 },
  { name: "one group", setting: UNEQUAL, k: 1, groups: 1 },
  { name: "as many entries as groups", setting: { batch: 2, tokens: 5 }, k: 3, groups: 3 },
  { name: "one row", setting: {}, k: 2, groups: 7 },
  { name: "seven rows", setting: { tokens: 7 }, k: 3, groups: 4 },
  { name: "all in one of many groups", setting: { tokens: 9 }, k: 2, groups: 6, only: 4 },
  { name: "no entry has a group", setting: { tokens: 3 }, k: 2, groups: 3, only: 3 },
  { name: "many rows", setting: { batch: 3, tokens: 67 }, k: 4, groups: 9 },
  { name: "no row", setting: { tokens: 1, lengths: [0] }, k: 2, groups: 3 },
];

type Sizes = readonly [depth: number, columns: number];
const SIZES: readonly Sizes[] = [
  [37, 41],
  [64, 128],
  [67, 36],
  [13, 7],
];

/** Each form, with the sizes in turn. */
const each = <S extends Sample>(make: (form: Form, sizes: Sizes) => S): readonly S[] =>
  FORMS.map((form, i) => make(form, SIZES[i % SIZES.length]!));

/** Rows in groups by a stack of matrices, a weight or a value. */
const grouped = (
  form: Form,
  [depth, columns]: Sizes,
  transposed: boolean,
  weight: boolean,
): Sample<"grouped_matmul"> => ({
  name: `${form.name}, ${depth} × ${columns}${transposed ? ", transposed" : ""}, by a ${weight ? "weight" : "value"}`,
  setting: form.setting,
  build: (b) => {
    const { rows, place, starts } = sorted(b, form.k, form.groups, form.only);
    const a = b.node("entry_rows", [b.rows([], [depth]), rows, place], {});
    const shape = [form.groups, ...(transposed ? [columns, depth] : [depth, columns])];
    const stack = weight ? b.weight("w", "f32", shape) : b.data("f32", shape);
    return b.node("grouped_matmul", [a, stack, starts], { transposed });
  },
});

type Family = "sort_entries" | "entry_rows" | "sum_entries" | "grouped_matmul" | "grouped_contract";

export const groupSamples: Samples<Family> = {
  sort_entries: within(exact, [
    {
      name: "worked by hand",
      setting: { tokens: 3 },
      build: (b) => b.node("sort_entries", [b.rows([], [2], "u32", [0, 2, 0, 9, 1, 2])], { groups: 3 }),
      expected: [
        [0, 2, 4, 1, 5, 3],
        [0, 1, 2, 0, 2, 1],
        [0, 3, 1, 5, 2, 4],
        [0, 2, 3, 5],
        [0, 0, 1, 2, 2, 3],
      ],
    },
    { name: "as many as columns choose", setting: LISTED, build: (b) => listedSort(b) },
    ...FORMS.map((form) => ({
      name: form.name,
      setting: form.setting,
      build: (b: Bench) =>
        b.node("sort_entries", [b.rows([], [form.k], "u32", (random) => form.only ?? random.below(form.groups + 1))], {
          groups: form.groups,
        }),
    })),
  ]),
  entry_rows: within(exact, [
    {
      name: "of those that are listed",
      setting: LISTED,
      build: (b) => {
        const { rows, place } = listed(b);
        return b.node("entry_rows", [b.rows([], [5]), rows, place], {});
      },
    },
    ...each((form, [width]) => ({
      name: form.name,
      setting: form.setting,
      build: (b) => {
        const { rows, place } = sorted(b, form.k, form.groups, form.only);
        return b.node("entry_rows", [b.rows([], [width]), rows, place], {});
      },
    })),
    ...(["f16", "u32", "bool"] as const).map((dtype): Sample<"entry_rows"> => ({
      name: dtype,
      setting: UNEQUAL,
      build: (b) => {
        const { rows, place } = sorted(b, 3, 4);
        return b.node("entry_rows", [b.rows([], [5], dtype), rows, place], {});
      },
    })),
    {
      name: "single values, each entry its own",
      setting: UNEQUAL,
      build: (b) => {
        const { entries, place } = sorted(b, 2, 3);
        const [values, own] = [b.rows([], [2]), [multiplySizes(2, rowsSize("T"))]];
        return b.node(
          "entry_rows",
          [b.node("reshape", [values], { shape: own }), entries, b.node("reshape", [place], { shape: [...own, 1] })],
          {},
        );
      },
    },
  ]),
  sum_entries: within(product, [
    ...[false, true].map((added) => ({
      name: `of those that exist${added ? ", added to rows" : ""}`,
      setting: UNEQUAL,
      build: (b: Bench) => {
        const group = b.node("those_entries", [b.rows([], [5], "bool")], { choice: "" });
        const sort = b.node("sort_entries", [group], { groups: 5 });
        const { rows, place } = results(b, sort);
        const y = b.node("entry_rows", [b.rows([], [7]), rows, place], {});
        const listed = b.emit.pick(sort, 4);
        return added
          ? b.node("sum_entries", [y, place, rows, b.rows([], [7]), listed], { groups: 5 })
          : b.node("sum_entries", [y, place, rows, listed], { groups: 5 });
      },
    })),
    {
      name: "of those that have a group, worked by hand",
      setting: { tokens: 2 },
      build: (b) => {
        // Entries 0 and 4 have no group: the first in one row, and the middle in the other.
        const sort = b.node("sort_entries", [b.rows([], [3], "u32", [9, 0, 1, 1, 2, 0])], { groups: 2 });
        const { entries, rows, place } = results(b, sort);
        const own = [multiplySizes(3, rowsSize("T")), 1];
        const values = b.node("reshape", [b.rows([], [3], "f32", [100, 1, 2, 4, 100, 8])], { shape: own });
        const y = b.node("entry_rows", [values, entries, b.node("reshape", [place], { shape: own })], {});
        return b.node("sum_entries", [y, place, rows, b.emit.pick(sort, 4)], { groups: 2, gaps: true });
      },
      expected: [[1 + 2, 4 + 8]],
    },
    ...[false, true].map((added) => ({
      name: `of those that have a group${added ? ", added to rows" : ""}`,
      setting: UNEQUAL,
      build: (b: Bench) => {
        const sort = b.node("sort_entries", [b.rows([], [4], "u32", (random) => random.below(6))], { groups: 3 });
        const { rows, place } = results(b, sort);
        const y = b.node("entry_rows", [b.rows([], [7]), rows, place], {});
        const listed = b.emit.pick(sort, 4);
        const attrs = { groups: 3, gaps: true };
        return added
          ? b.node("sum_entries", [y, place, rows, b.rows([], [7]), listed], attrs)
          : b.node("sum_entries", [y, place, rows, listed], attrs);
      },
    })),
    {
      name: "of those that are listed and have a group",
      setting: LISTED,
      build: (b) => {
        const sort = listedSort(b);
        const { rows, place } = results(b, sort);
        const y = b.node("entry_rows", [b.rows([], [5]), rows, place], {});
        return b.node("sum_entries", [y, place, rows, b.emit.pick(sort, 4)], { groups: 4, gaps: true });
      },
    },
    {
      name: "of those that are listed",
      setting: LISTED,
      build: (b) => {
        const { rows, place } = listed(b);
        return b.node("sum_entries", [b.node("entry_rows", [b.rows([], [5]), rows, place], {}), place, rows], {});
      },
    },
    ...each((form, [width]) => ({
      name: form.name,
      setting: form.setting,
      build: (b: Bench) => {
        const { rows, place } = sorted(b, form.k, form.groups, form.only);
        const y = b.node("entry_rows", [b.rows([], [width]), rows, place], {});
        return b.node("sum_entries", [y, place, rows], {});
      },
    })),
    {
      name: "added to rows",
      setting: UNEQUAL,
      build: (b) => {
        const { rows, place } = sorted(b, 2, 3);
        const y = b.node("entry_rows", [b.rows([], [9]), rows, place], {});
        return b.node("sum_entries", [y, place, rows, b.rows([], [9])], {});
      },
    },
    {
      name: "behind a threshold",
      setting: ROUTED,
      build: (b) => {
        const { rows, place, starts } = sortedRoute(b, 3, 4);
        const x = b.node("take", [b.rows([], [36]), b.index("A")], { dim: 0 });
        const y = b.node("entry_rows", [x, rows, place], {});
        const product = b.node("grouped_matmul", [y, b.weight("w", "f32", [4, 40, 36]), starts], { transposed: true });
        return b.node("sum_entries", [product, place, rows], {});
      },
    },
  ]),
  grouped_matmul: within(product, [
    {
      name: "worked by hand",
      setting: { tokens: 3 },
      build: (b) => {
        const { rows, place, starts } = results(
          b,
          b.node("sort_entries", [b.rows([], [1], "u32", [1, 7, 0])], { groups: 2 }),
        );
        const a = b.node("entry_rows", [b.rows([], [2], "f32", [1, 2, 3, 4, 5, 6]), rows, place], {});
        return b.node("grouped_matmul", [a, b.data("f32", [2, 2, 1], [1, 0, 2, 3]), starts], { transposed: false });
      },
      expected: [[5, 8, 0]],
    },
    {
      name: "by the matrices of some groups, those between two others",
      setting: UNEQUAL,
      build: (b) => {
        const { rows, place, starts } = sorted(b, 3, 5);
        const some = b.node("slice", [starts], { axis: 0, start: 1, stop: 4 });
        const a = b.node("entry_rows", [b.rows([], [36]), rows, place], {});
        return b.node("grouped_matmul", [a, b.weight("w", "f32", [2, 20, 36]), some], { transposed: true });
      },
    },
    ...each((form, own) => grouped(form, own, true, true)),
    ...each((form, own) => grouped(form, own, false, true)),
    ...each((form, own) => grouped(form, own, true, false)),
    ...each((form, own) => grouped(form, own, false, false)),
  ]),
  grouped_contract: within(
    product,
    each((form, [depth, columns]) => ({
      name: `${form.name}, ${depth} × ${columns}`,
      setting: form.setting,
      build: (b) => {
        const { rows, place, starts } = sorted(b, form.k, form.groups, form.only);
        const [x, y] = [depth, columns].map((width) =>
          b.node("entry_rows", [b.rows([], [width]), rows, place], {}),
        ) as [Node, Node];
        return b.node("grouped_contract", [x, y, starts], {});
      },
    })),
  ),
};
