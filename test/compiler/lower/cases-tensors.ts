// Cases of operations on tensors: pointwise, reductions, products, shapes and gathers.
import type { Value } from "../../../src/language/check/model/model.js";
import type { ModelBuilder } from "./model-builder.js";
import { add, D, mul, pairs, pointwise, score, x, type Case } from "./case-forms.js";

const FUNCTIONS = ["sum", "mean", "max", "min", "var"] as const;
const reduces: readonly Case[] = FUNCTIONS.flatMap((fn) =>
  (
    [
      [[2], ["B", "T"]],
      [[1], ["B", D]],
      [[1, 2], ["B"]],
      [[0, 1], [D]],
      [[0, 1, 2], []],
    ] as const
  ).flatMap(([axes, shape]) =>
    [false, true].map((keep) =>
      add("reduce", `${fn} over ${axes.join(",")}${keep ? " kept" : ""}`, (m) =>
        m.value(
          "reduce",
          [x(m)],
          { fn, axes, keep },
          "f32",
          keep ? ["B", "T", D].map((s, i) => ((axes as readonly number[]).includes(i) ? 1 : s)) : shape,
        ),
      ),
    ),
  ),
);

/** Logits of eight classes. */
const logits = (m: ModelBuilder): Value => m.value("concat", [x(m), x(m, "y")], { axis: 2 }, "f32", ["B", "T", 2 * D]);

export const tensorCases: readonly Case[] = [
  add("input", "a packed input", (m) => x(m)),
  add("input", "an input without tokens", (m) => m.input("flat", "f32", ["B", 3])),
  add("weight", "a weight", (m) => (x(m), m.weight("w", [3, 2]))),
  add("state", "a state", (m) => (x(m), m.state("s", [3]))),
  add("number", "a number", (m) => (x(m), m.number(2.5))),
  add("literal", "rows times numbers", (m) =>
    mul(m, x(m), m.value("literal", [], { values: [0.5, -1, 2, 3] }, "f32", [D]), ["B", "T", D]),
  ),
  add("length", "the length of each sequence", (m) =>
    m.value("length", [], { size: m.input("x", "f32", ["B", "T"]).type.shape[1]! }, "f32", ["B", 1]),
  ),
  add("pointwise", "rows with a weight", (m) => mul(m, x(m), m.weight("w", [D]), ["B", "T", D])),
  add("pointwise", "rows with a weight that has a leading 1", (m) =>
    mul(m, x(m), m.weight("w", [1, 1, D]), ["B", "T", D]),
  ),
  add("pointwise", "rows with a value per sequence", (m) =>
    mul(m, x(m), m.input("flat", "f32", ["B", 1, D]), ["B", "T", D]),
  ),
  add("pointwise", "rows with a number per sequence", (m) =>
    mul(m, x(m), m.input("flat", "f32", ["B", 1, 1]), ["B", "T", D]),
  ),
  add("pointwise", "heads with a value per sequence and head", (m) => {
    const h = m.value(
      "permute",
      [m.value("reshape", [x(m)], {}, "f32", ["B", "T", 2, 2])],
      { order: [0, 2, 1, 3] },
      "f32",
      ["B", 2, "T", 2],
    );
    return mul(m, h, m.input("flat", "f32", ["B", 2, 1, 2]), ["B", 2, "T", 2]);
  }),
  add("pointwise", "rows with a number", (m) => mul(m, x(m), m.number(3), ["B", "T", D])),
  add("pointwise", "a column of rows with rows", (m) =>
    mul(m, x(m), m.value("reduce", [x(m, "y")], { fn: "max", axes: [2], keep: true }, "f32", ["B", "T", 1]), [
      "B",
      "T",
      D,
    ]),
  ),
  add("pointwise", "a weight spread over two values per sequence and per row", (m) =>
    mul(
      m,
      m.weight("w", [1, 1, D]),
      m.value("reduce", [x(m)], { fn: "sum", axes: [2], keep: true }, "f32", ["B", "T", 1]),
      ["B", "T", D],
    ),
  ),
  add("pointwise", "two sequence dimensions", (m) => {
    const s = score(m, x(m));
    return mul(
      m,
      m.value("reshape", [s], {}, "f32", ["B", "T", 1]),
      m.value("reshape", [s], {}, "f32", ["B", 1, "T"]),
      ["B", "T", "T"],
    );
  }),
  add("pointwise", "where", (m) => {
    const a = x(m);
    return pointwise(
      m,
      "where",
      [pointwise(m, "gt", [a, m.number(0)], ["B", "T", D], "bool"), a, m.number(7)],
      ["B", "T", D],
    );
  }),
  add("powi", "a cube", (m) => m.value("powi", [x(m)], { exponent: 3 }, "f32", ["B", "T", D])),
  add("cast", "to whole numbers and back", (m) =>
    m.value("cast", [m.value("cast", [x(m)], {}, "i32", ["B", "T", D])], {}, "f32", ["B", "T", D]),
  ),
  ...reduces,
  add("reduce", "argmax over channels", (m) =>
    m.value("reduce", [x(m)], { fn: "argmax", axes: [2], keep: false }, "u32", ["B", "T"]),
  ),
  add("reduce", "argmax over tokens", (m) =>
    m.value("reduce", [x(m)], { fn: "argmax", axes: [1], keep: false }, "u32", ["B", D]),
  ),
  add("reduce", "sum over keys of pairs", (m) =>
    m.value("reduce", [pairs(m, x(m))], { fn: "sum", axes: [3], keep: false }, "f32", ["B", 2, "T"]),
  ),
  add("reduce", "mean over both tokens of pairs", (m) =>
    m.value("reduce", [pairs(m, x(m))], { fn: "mean", axes: [2, 3], keep: false }, "f32", ["B", 2]),
  ),
  add("log_probability", "of each token", (m) =>
    m.value("log_probability", [logits(m), m.input("ids", "u32", ["B", "T"])], {}, "f32", ["B", "T"]),
  ),
  add("log_probability", "of tokens of which some have no target", (m) => {
    const ids = m.input("ids", "i32", ["B", "T"]);
    const targets = m.value("pointwise", [ids, m.number(-1, "i32")], { fn: "add" }, "i32", ["B", "T"]);
    return m.value("log_probability", [logits(m), targets], {}, "f32", ["B", "T"]);
  }),
  add("log_probability", "of one target a sequence", (m) =>
    m.value("log_probability", [m.input("flat", "f32", ["B", 6]), m.input("ids", "u32", ["B"])], {}, "f32", ["B"]),
  ),
  add("softmax", "over channels", (m) => m.value("softmax", [x(m)], { axis: 2 }, "f32", ["B", "T", D])),
  add("softmax", "over tokens", (m) => m.value("softmax", [x(m)], { axis: 1 }, "f32", ["B", "T", D])),
  add("softmax", "over keys", (m) => m.value("softmax", [pairs(m, x(m))], { axis: 3 }, "f32", ["B", 2, "T", "T"])),
  add("matmul", "rows with a weight", (m) =>
    m.value("matmul", [x(m), m.weight("w", [D, 3])], {}, "f32", ["B", "T", 3]),
  ),
  add("matmul", "a weight with columns that are tokens", (m) =>
    m.value(
      "matmul",
      [m.weight("w", [3, D]), m.value("permute", [x(m)], { order: [0, 2, 1] }, "f32", ["B", D, "T"])],
      {},
      "f32",
      ["B", 3, "T"],
    ),
  ),
  add("matmul", "each row's own matrices", (m) => {
    const a = m.value("reshape", [x(m)], {}, "f32", ["B", "T", 2, 2]);
    return m.value("matmul", [a, m.value("reshape", [x(m, "y")], {}, "f32", ["B", "T", 2, 2])], {}, "f32", [
      "B",
      "T",
      2,
      2,
    ]);
  }),
  add("matmul", "rows of heads with a weight per head", (m) => {
    const h = m.value(
      "permute",
      [m.value("reshape", [x(m)], {}, "f32", ["B", "T", 2, 2])],
      { order: [0, 2, 1, 3] },
      "f32",
      ["B", 2, "T", 2],
    );
    return m.value("matmul", [h, m.weight("w", [2, 2, 3])], {}, "f32", ["B", 2, "T", 3]);
  }),
  add("matmul", "rows with a matrix per sequence", (m) =>
    m.value("matmul", [x(m), m.input("flat", "f32", ["B", D, 3])], {}, "f32", ["B", "T", 3]),
  ),
  add("matmul", "channels with channels, over tokens", (m) =>
    m.value("matmul", [m.value("permute", [x(m)], { order: [0, 2, 1] }, "f32", ["B", D, "T"]), x(m, "y")], {}, "f32", [
      "B",
      D,
      D,
    ]),
  ),
  add("matmul", "logarithms of pairs, infinite where tokens are absent, with tokens", (m) => {
    const logs = pointwise(m, "log", [pointwise(m, "abs", [pairs(m, x(m))], ["B", 2, "T", "T"])], ["B", 2, "T", "T"]);
    const h = m.value(
      "permute",
      [m.value("reshape", [x(m, "y")], {}, "f32", ["B", "T", 2, 2])],
      { order: [0, 2, 1, 3] },
      "f32",
      ["B", 2, "T", 2],
    );
    return m.value("matmul", [logs, h], {}, "f32", ["B", 2, "T", 2]);
  }),
  add("reduce", "the largest of negative pairs", (m) =>
    m.value(
      "reduce",
      [pointwise(m, "neg", [pointwise(m, "exp", [pairs(m, x(m))], ["B", 2, "T", "T"])], ["B", 2, "T", "T"])],
      { fn: "max", axes: [3], keep: false },
      "f32",
      ["B", 2, "T"],
    ),
  ),
  add("matmul", "pairs of tokens with tokens", (m) => {
    const h = m.value(
      "permute",
      [m.value("reshape", [x(m, "y")], {}, "f32", ["B", "T", 2, 2])],
      { order: [0, 2, 1, 3] },
      "f32",
      ["B", 2, "T", 2],
    );
    return m.value(
      "matmul",
      [m.value("softmax", [pairs(m, x(m))], { axis: 3 }, "f32", ["B", 2, "T", "T"]), h],
      {},
      "f32",
      ["B", 2, "T", 2],
    );
  }),
  add("reshape", "split channels", (m) => m.value("reshape", [x(m)], {}, "f32", ["B", "T", 2, 2])),
  add("permute", "tokens behind channels", (m) =>
    m.value("permute", [x(m)], { order: [0, 2, 1] }, "f32", ["B", D, "T"]),
  ),
  add("slice", "some channels", (m) => m.value("slice", [x(m)], { axis: 2, start: 1, stop: 3 }, "f32", ["B", "T", 2])),
  add("concat", "channels of rows", (m) =>
    m.value("concat", [x(m), x(m, "y", ["B", "T", 2])], { axis: 2 }, "f32", ["B", "T", 6]),
  ),
  add("gather", "rows of a weight by tokens", (m) =>
    m.value("gather", [m.weight("w", [5, 3]), m.input("ids", "u32", ["B", "T"])], {}, "f32", ["B", "T", 3]),
  ),
  add("gather", "rows of a weight by one index a sequence", (m) =>
    m.value("gather", [m.weight("w", [5, 3]), m.input("ids", "u32", ["B"])], {}, "f32", ["B", 3]),
  ),
  add("gather", "signed indices, from the end and beyond both ends", (m) =>
    m.value(
      "gather",
      [
        m.weight("w", [2, 3]),
        m.value("pointwise", [m.input("ids", "i32", ["B", "T"]), m.number(-2, "i32")], { fn: "add" }, "i32", [
          "B",
          "T",
        ]),
      ],
      {},
      "f32",
      ["B", "T", 3],
    ),
  ),
  add("straight", "is the first", (m) => m.value("straight", [x(m), x(m, "y")], {}, "f32", ["B", "T", D])),
  add("straight", "of a mask is a number", (m) =>
    m.value("straight", [pointwise(m, "gt", [x(m), m.number(0)], ["B", "T", D], "bool"), x(m, "y")], {}, "f32", [
      "B",
      "T",
      D,
    ]),
  ),
  add("zeros", "along a sequence", (m) =>
    mul(m, x(m), pointwise(m, "exp", [m.value("zeros", [], {}, "f32", ["B", "T", D])], ["B", "T", D]), ["B", "T", D]),
  ),
  add("zeros", "of whole numbers", (m) => {
    x(m);
    return m.value("zeros", [], {}, "u32", ["B", 3]);
  }),
  add("stop_gradient", "is the same value", (m) => m.value("stop_gradient", [x(m)], {}, "f32", ["B", "T", D])),
];
