// Samples of sources, structure, reductions, products and random values.
import { rational } from "../../src/size/rational.js";
import { applySize, axisSize, liveSize, multiplySizes, rowsSize } from "../../src/size/size.js";
import type { Node } from "../../src/ir/graph.js";
import type { OpAttrs } from "../../src/ir/vocabulary.js";
import { expectOp, type Bench } from "./bench.js";
import type { Sample, Samples } from "./samples.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

type Random = "random_uniform" | "random_normal";
type Reduction = "sum" | "reduce_max" | "reduce_min";

const reductions = <K extends Reduction>(
  op: K,
  worked: readonly (readonly [x: readonly number[], y: number])[],
  whole: readonly [x: readonly number[], y: number],
): readonly Sample<K>[] => {
  const reduce = (b: Bench, x: Node, axes: readonly number[], keep: boolean): Node<K> =>
    expectOp(op, b.node<Reduction>(op, [x], { axes, keep }));
  const over = (b: Bench, shape: readonly number[], axes: readonly number[], keep: boolean): Node<K> =>
    reduce(b, b.data("f32", shape), axes, keep);
  return [
    ...worked.map(([x, y], i): Sample<K> => ({
      name: `worked by hand ${i}`,
      build: (b) => reduce(b, b.data("f32", [x.length], x), [0], false),
      expected: [[y]],
    })),
    {
      name: "u32",
      expected: [[whole[1]]],
      build: (b) => reduce(b, b.data("u32", [whole[0].length], whole[0]), [0], false),
    },
    { name: "the last of [5, 257]", build: (b) => over(b, [5, 257], [1], false) },
    { name: "the first of [131, 3], kept", build: (b) => over(b, [131, 3], [0], true) },
    { name: "the outer two of [3, 5, 7]", build: (b) => over(b, [3, 5, 7], [0, 1], false) },
    { name: "the ends of [3, 5, 7], kept", build: (b) => over(b, [3, 5, 7], [0, 2], true) },
    { name: "all of [3, 5, 7]", build: (b) => over(b, [3, 5, 7], [0, 1, 2], false) },
    { name: "none of [7]", build: (b) => over(b, [7], [], false) },
    { name: "a dimension of 1", build: (b) => over(b, [7, 1], [1], false) },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => reduce(b, b.rows([2], [67]), [2], true),
    },
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => reduce(b, b.rows([2], [3]), [1], false),
    },
    {
      name: "f16",
      build: (b) => reduce(b, b.data("f16", [3, 17]), [1], false),
    },
    {
      name: "i32",
      build: (b) => reduce(b, b.data("i32", [3, 17]), [1], false),
    },
  ];
};

const argmax = (x: readonly number[], at: number): Sample<"argmax"> => ({
  name: `of ${x.join(", ")}`,
  build: (b) => b.node("argmax", [b.data("f32", [x.length], x)], { axis: 0, keep: false }),
  expected: [[at]],
});

const random = <K extends Random>(op: K): readonly Sample<K>[] => {
  const make = (b: Bench, inputs: readonly Node[], attrs: OpAttrs[Random]): Node<K> =>
    expectOp(op, b.node<Random>(op, inputs, attrs));
  const node = (b: Bench, behind: readonly number[], stream: number): Node<K> =>
    make(b, [b.node("seed", [], {}), b.positions("T")], { shape: [rowsSize("T"), ...behind], dim: 0, stream });
  return [
    { name: "rows of unequal lengths", setting: UNEQUAL, build: (b) => node(b, [7], 3) },
    { name: "one row", build: (b) => node(b, [], 0) },
    { name: "a full batch", setting: { batch: 7, tokens: 11 }, build: (b) => node(b, [2, 3], 0xffffffff) },
    {
      name: "heads before rows",
      setting: UNEQUAL,
      build: (b) =>
        make(b, [b.node("seed", [], {}), b.positions("T")], { shape: [2, rowsSize("T"), 3], dim: 1, stream: 5 }),
    },
    {
      name: "no sequence",
      setting: { batch: 3, tokens: 2 },
      build: (b) => make(b, [b.node("seed", [], {})], { shape: [axisSize("B"), 5], dim: null, stream: 1 }),
    },
    {
      name: "routed rows",
      setting: { ...UNEQUAL, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => {
        b.top("K");
        return make(b, [b.node("seed", [], {}), b.positions("K")], { shape: [rowsSize("K"), 3], dim: 0, stream: 2 });
      },
    },
  ];
};

type Family =
  | "input"
  | "weight"
  | "state"
  | "live"
  | "seed"
  | "constant"
  | "size"
  | "starts"
  | "rope_table"
  | "pick"
  | "reshape"
  | "permute"
  | "broadcast"
  | "slice"
  | "concat"
  | "stop_gradient"
  | "barrier"
  | Reduction
  | "argmax"
  | "softmax"
  | "matmul"
  | "gather"
  | "random_uniform"
  | "random_normal";

export const tensorSamples: Samples<Family> = {
  input: [
    { name: "f32", build: (b) => expectOp("input", b.data("f32", [3, 5])) },
    { name: "rows of unequal lengths", setting: UNEQUAL, build: (b) => expectOp("input", b.rows([2], [3], "i32")) },
  ],
  weight: [
    { name: "f32", build: (b) => expectOp("weight", b.weight("layers.0.q.weight", "f32", [3, 5])) },
    { name: "f16", build: (b) => expectOp("weight", b.weight("q", "f16", [7])) },
  ],
  state: [
    {
      name: "zeros before the first run",
      build: (b) => b.node("state", [], { name: "counter", dtype: "f32", shape: [3] }),
      expected: [[0, 0, 0]],
    },
  ],
  live: [
    {
      name: "a ratio",
      setting: { live: { capacity: rational(1, 8) } },
      build: (b) => b.node("live", [], { name: "capacity" }),
      expected: [[0.125]],
    },
  ],
  seed: [{ name: "as given", build: (b) => b.node("seed", [], {}), expected: [[20240402]] }],
  constant: [
    {
      name: "a number",
      build: (b) => b.node("constant", [], { value: -2.5, dtype: "f32", shape: [] }),
      expected: [[-2.5]],
    },
    {
      name: "f16 rounds",
      build: (b) => b.node("constant", [], { value: 2049, dtype: "f16", shape: [2] }),
      expected: [[2048, 2048]],
    },
    {
      name: "infinity",
      build: (b) => b.node("constant", [], { value: -inf, dtype: "f32", shape: [1] }),
      expected: [[-inf]],
    },
    {
      name: "u32",
      build: (b) => b.node("constant", [], { value: 0xffffffff, dtype: "u32", shape: [2, 1] }),
      expected: [[0xffffffff, 0xffffffff]],
    },
    {
      name: "i32",
      build: (b) => b.node("constant", [], { value: -0x80000000, dtype: "i32", shape: [1] }),
      expected: [[-0x80000000]],
    },
    { name: "bool", build: (b) => b.node("constant", [], { value: 1, dtype: "bool", shape: [2] }), expected: [[1, 1]] },
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => b.node("constant", [], { value: 3, dtype: "f32", shape: [rowsSize("T")] }),
      expected: [[3, 3, 0, 0, 0, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0]],
    },
  ],
  size: [
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => b.node("size", [], { size: rowsSize("T"), dtype: "u32" }),
      expected: [[7]],
    },
    {
      name: "the longest",
      setting: UNEQUAL,
      build: (b) => b.node("size", [], { size: multiplySizes(-2, axisSize("T")), dtype: "i32" }),
      expected: [[-10]],
    },
    {
      name: "a live share",
      setting: { ...UNEQUAL, live: { capacity: rational(1, 8) } },
      build: (b) => b.node("size", [], { size: multiplySizes(liveSize("capacity"), axisSize("T")), dtype: "f32" }),
      expected: [[0.625]],
    },
    {
      name: "rounded up",
      setting: { tokens: 9 },
      build: (b) =>
        b.node("size", [], {
          size: applySize("ceil", [multiplySizes(axisSize("T"), applySize("div", [1, 8]))]),
          dtype: "f32",
        }),
      expected: [[2]],
    },
  ],
  starts: [
    {
      name: "unequal lengths",
      setting: UNEQUAL,
      build: (b) => expectOp("starts", b.starts("T")),
      expected: [[0, 2, 7, 7]],
    },
    { name: "one token", build: (b) => expectOp("starts", b.starts("T")), expected: [[0, 1]] },
  ],
  rope_table: [
    {
      name: "worked by hand",
      setting: { tokens: 2 },
      build: (b) =>
        b.node("rope_table", [], { positions: axisSize("T"), width: 4, theta: 100, frequencies: null, scale: 1 }),
      // angles 0, 0 and 1, 1/10
      expected: [[1, 1, 0, 0, Math.cos(1), Math.cos(0.1), Math.sin(1), Math.sin(0.1)]],
    },
    {
      name: "frequencies and scale",
      setting: { tokens: 7 },
      build: (b) =>
        b.node("rope_table", [], {
          positions: axisSize("T"),
          width: 6,
          theta: 1,
          frequencies: [1, 0.25, 0],
          scale: 1.5,
        }),
    },
    {
      name: "of fixed length",
      build: (b) => b.node("rope_table", [], { positions: 131, width: 2, theta: 10000, frequencies: null, scale: 1 }),
    },
  ],
  pick: [
    {
      name: "rows of a choice",
      setting: { tokens: 4, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => b.node("pick", [b.top("K", b.rows([], [], "f32", [1, 3, 2, 4]))], { result: 0 }),
      expected: [[1, 3]],
    },
    {
      name: "starts of a choice",
      setting: { tokens: 4, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => b.node("pick", [b.top("K", b.rows([], [], "f32", [1, 3, 2, 4]))], { result: 1 }),
      expected: [[0, 2]],
    },
  ],
  reshape: [
    {
      name: "[3, 4] to [2, 6]",
      build: (b) =>
        b.node("reshape", [b.data("f32", [3, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])], { shape: [2, 6] }),
      expected: [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    },
    {
      name: "to a scalar",
      build: (b) => b.node("reshape", [b.data("f32", [1, 1], [5])], { shape: [] }),
      expected: [[5]],
    },
    {
      name: "heads of rows",
      setting: UNEQUAL,
      build: (b) => b.node("reshape", [b.rows([], [6])], { shape: [rowsSize("T"), 3, 2] }),
    },
  ],
  permute: [
    {
      name: "a matrix",
      build: (b) => b.node("permute", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6])], { order: [1, 0] }),
      expected: [[1, 4, 2, 5, 3, 6]],
    },
    { name: "[3, 5, 7] by 2, 0, 1", build: (b) => b.node("permute", [b.data("i32", [3, 5, 7])], { order: [2, 0, 1] }) },
    {
      name: "heads to the front",
      setting: SEVEN,
      build: (b) => b.node("permute", [b.rows([], [3, 2])], { order: [1, 0, 2] }),
    },
    { name: "a scalar", build: (b) => b.node("permute", [b.data("f32", [])], { order: [] }) },
    { name: "bool", build: (b) => b.node("permute", [b.data("bool", [3, 2])], { order: [1, 0] }) },
  ],
  broadcast: [
    {
      name: "a row",
      build: (b) => b.node("broadcast", [b.data("f32", [2], [1, 2])], { shape: [3, 2] }),
      expected: [[1, 2, 1, 2, 1, 2]],
    },
    {
      name: "a column",
      build: (b) => b.node("broadcast", [b.data("f32", [3, 1], [1, 2, 3])], { shape: [3, 2] }),
      expected: [[1, 1, 2, 2, 3, 3]],
    },
    {
      name: "a scalar to rows",
      setting: UNEQUAL,
      build: (b) => b.node("broadcast", [b.data("u32", [])], { shape: [rowsSize("T"), 3] }),
    },
    { name: "to its own shape", build: (b) => b.node("broadcast", [b.data("bool", [5])], { shape: [5] }) },
  ],
  slice: [
    {
      name: "the middle",
      build: (b) => b.node("slice", [b.data("f32", [2, 4], [0, 1, 2, 3, 4, 5, 6, 7])], { axis: 1, start: 1, stop: 3 }),
      expected: [[1, 2, 5, 6]],
    },
    {
      name: "the first dimension",
      build: (b) => b.node("slice", [b.data("i32", [7, 3])], { axis: 0, start: 6, stop: 7 }),
    },
    { name: "all", build: (b) => b.node("slice", [b.data("f16", [5])], { axis: 0, start: 0, stop: 5 }) },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("slice", [b.rows([], [5, 3])], { axis: 1, start: 2, stop: 5 }),
    },
  ],
  concat: [
    {
      name: "columns",
      build: (b) => b.node("concat", [b.data("f32", [2, 1], [1, 2]), b.data("f32", [2, 2], [3, 4, 5, 6])], { axis: 1 }),
      expected: [[1, 3, 4, 2, 5, 6]],
    },
    {
      name: "three of [n, 3]",
      build: (b) =>
        b.node("concat", [b.data("u32", [5, 3]), b.data("u32", [1, 3]), b.data("u32", [7, 3])], { axis: 0 }),
    },
    { name: "one", build: (b) => b.node("concat", [b.data("f32", [5])], { axis: 0 }) },
    ...[7, 8, 19].map((parts) => ({
      name: `${parts} of unlike width`,
      build: (b: Bench) =>
        b.node(
          "concat",
          Array.from({ length: parts }, (_, i) => b.data("f32", [2, 1 + (i % 3), 2])),
          { axis: 1 },
        ),
    })),
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("concat", [b.rows([], [5]), b.rows([], [2])], { axis: 1 }),
    },
    {
      name: "the same twice",
      build: (b) => {
        const x = b.data("bool", [3]);
        return b.node("concat", [x, x], { axis: 0 });
      },
    },
  ],
  stop_gradient: [
    {
      name: "the same",
      build: (b) => b.node("stop_gradient", [b.data("f32", [3], [1, nan, 3])], {}),
      expected: [[1, nan, 3]],
    },
  ],
  barrier: [
    {
      name: "the first",
      build: (b) => b.node("barrier", [b.data("f32", [2], [1, 2]), b.data("u32", [3])], {}),
      expected: [[1, 2]],
    },
  ],
  sum: reductions(
    "sum",
    [
      [[1, 2, 3.5], 6.5],
      [[5], 5],
    ],
    [[0xffffffff, 3], 2],
  ),
  reduce_max: reductions(
    "reduce_max",
    [
      [[1, 3.5, 2], 3.5],
      [[1, nan, 2], nan],
      [[-inf, -inf], -inf],
      [[-3, -1, -2], -1],
    ],
    [[3, 0xffffffff, 0], 0xffffffff],
  ),
  reduce_min: reductions(
    "reduce_min",
    [
      [[1, -3.5, 2], -3.5],
      [[nan, 1], nan],
      [[inf, inf], inf],
      [[3, 1, 2], 1],
    ],
    [[3, 0xffffffff, 1], 1],
  ),
  argmax: [
    argmax([1, 3, 2], 1),
    argmax([3, 1, 3], 0),
    argmax([0, -0, 0], 0),
    argmax([1, nan, 5, nan], 1),
    argmax([-inf, -inf], 0),
    argmax([-inf, inf, inf], 1),
    argmax([5], 0),
    {
      name: "the last of [5, 257]",
      build: (b) => b.node("argmax", [b.data("f32", [5, 257])], { axis: 1, keep: false }),
    },
    {
      name: "the middle of [3, 7, 5], kept",
      build: (b) => b.node("argmax", [b.data("i32", [3, 7, 5], (r) => r.below(4) - 2)], { axis: 1, keep: true }),
    },
    {
      name: "u32",
      build: (b) => b.node("argmax", [b.data("u32", [4], [1, 0xffffffff, 0, 0xffffffff])], { axis: 0, keep: false }),
      expected: [[1]],
    },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("argmax", [b.rows([], [67], "f16")], { axis: 1, keep: false }),
    },
  ],
  softmax: [
    {
      name: "worked by hand",
      build: (b) => b.node("softmax", [b.data("f32", [2, 2], [0, 0, 1000, 1000 + 0])], { axis: 1 }),
      expected: [[0.5, 0.5, 0.5, 0.5]],
    },
    {
      name: "far apart",
      build: (b) => b.node("softmax", [b.data("f32", [3], [-1e30, 0, -1e30])], { axis: 0 }),
      expected: [[0, 1, 0]],
    },
    { name: "one", build: (b) => b.node("softmax", [b.data("f32", [3, 1])], { axis: 1 }), expected: [[1, 1, 1]] },
    { name: "the last of [5, 257]", build: (b) => b.node("softmax", [b.data("f32", [5, 257])], { axis: 1 }) },
    { name: "the first of [131, 3]", build: (b) => b.node("softmax", [b.data("f32", [131, 3])], { axis: 0 }) },
    {
      name: "the width of rows, f16",
      setting: UNEQUAL,
      build: (b) => b.node("softmax", [b.rows([2], [7], "f16")], { axis: 2 }),
    },
  ],
  matmul: [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("matmul", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6]), b.data("f32", [3, 2], [1, 0, 0, 1, 2, 3])], {
          transposed: false,
        }),
      expected: [[7, 11, 16, 23]],
    },
    {
      name: "transposed",
      build: (b) =>
        b.node("matmul", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6]), b.data("f32", [2, 3], [1, 0, 2, 0, 1, 3])], {
          transposed: true,
        }),
      expected: [[7, 11, 16, 23]],
    },
    {
      name: "rows by a weight",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([], [37]), b.weight("w", "f32", [41, 37])], { transposed: true }),
    },
    {
      name: "rows by a column",
      setting: SEVEN,
      build: (b) => b.node("matmul", [b.rows([], [37]), b.weight("w", "f32", [1, 37])], { transposed: true }),
    },
    {
      name: "one row",
      build: (b) => b.node("matmul", [b.rows([], [67]), b.weight("w", "f32", [67, 131])], { transposed: false }),
    },
    {
      name: "full tiles",
      setting: { batch: 2, tokens: 64 },
      build: (b) => b.node("matmul", [b.rows([], [64]), b.weight("w", "f32", [128, 64])], { transposed: true }),
    },
    {
      name: "1 · 1",
      build: (b) => b.node("matmul", [b.data("f32", [1, 1]), b.data("f32", [1, 1])], { transposed: false }),
    },
    {
      name: "a batch of matrices",
      build: (b) => b.node("matmul", [b.data("f32", [3, 5, 7]), b.data("f32", [3, 7, 2])], { transposed: false }),
    },
    {
      name: "leading dimensions broadcast",
      build: (b) => b.node("matmul", [b.data("f32", [2, 1, 5, 7]), b.data("f32", [3, 11, 7])], { transposed: true }),
    },
    {
      name: "heads of rows by heads of a weight",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([2], [5]), b.weight("w", "f32", [2, 5, 3])], { transposed: false }),
    },
    {
      name: "f16",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([], [19], "f16"), b.weight("w", "f16", [17, 19])], { transposed: true }),
    },
    {
      name: "summed over rows",
      setting: UNEQUAL,
      build: (b) =>
        b.node("matmul", [b.node("permute", [b.rows([], [5])], { order: [1, 0] }), b.rows([], [3])], {
          transposed: false,
        }),
    },
  ],
  gather: [
    {
      name: "worked by hand",
      build: (b) => b.node("gather", [b.data("f32", [3, 2], [0, 1, 2, 3, 4, 5]), b.data("u32", [4], [2, 0, 7, 1])], {}),
      expected: [[4, 5, 0, 1, 4, 5, 2, 3]],
    },
    {
      name: "rows of tokens",
      setting: UNEQUAL,
      build: (b) =>
        b.node("gather", [b.weight("table", "f32", [31, 17]), b.rows([], [], "u32", (r) => r.below(31))], {}),
    },
    {
      name: "rows of whole fours",
      build: (b) =>
        b.node("gather", [b.weight("table", "f32", [31, 12]), b.rows([], [], "u32", (r) => r.below(31))], {}),
    },
    {
      name: "single values",
      build: (b) => b.node("gather", [b.data("i32", [7]), b.data("u32", [3, 2], (r) => r.below(7))], {}),
    },
    { name: "one index", build: (b) => b.node("gather", [b.data("bool", [5, 3]), b.data("u32", [], [4])], {}) },
    {
      name: "f16",
      build: (b) => b.node("gather", [b.weight("table", "f16", [5, 3, 2]), b.data("u32", [7], (r) => r.below(5))], {}),
    },
  ],
  random_uniform: random("random_uniform"),
  random_normal: random("random_normal"),
};
