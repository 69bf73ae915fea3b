// One small model for each way a logical operation is lowered: the table that `lower.test.ts` walks.
import type { LogicalAttrs, LogicalOp, Value } from "../../src/check/model.js";
import type { ModelBuilder, Shape } from "./model-builder.js";

export interface Case {
  readonly op: LogicalOp;
  readonly name: string;
  build(m: ModelBuilder): void;
}

const D = 4;
const x = (m: ModelBuilder, name = "x", shape: Shape = ["B", "T", D]): Value => m.input(name, "f32", shape);
const pointwise = (
  m: ModelBuilder,
  fn: LogicalAttrs["pointwise"]["fn"],
  inputs: readonly Value[],
  shape: Shape,
  dtype: "f32" | "bool" = "f32",
): Value => m.value("pointwise", inputs, { fn }, dtype, shape);
const mul = (m: ModelBuilder, a: Value, b: Value, shape: Shape): Value => pointwise(m, "mul", [a, b], shape);
/** A score per token: f32[B, T]. */
const score = (m: ModelBuilder, of: Value, axis = "T"): Value =>
  m.value("reduce", [of], { fn: "sum", axes: [2], keep: false }, "f32", ["B", axis]);
/** [B, H, T, S]: the products of all pairs. */
const pairs = (m: ModelBuilder, a: Value): Value => {
  const h = m.value("permute", [m.value("reshape", [a], {}, "f32", ["B", "T", 2, 2])], { order: [0, 2, 1, 3] }, "f32", [
    "B",
    2,
    "T",
    2,
  ]);
  const t = m.value("permute", [h], { order: [0, 1, 3, 2] }, "f32", ["B", 2, 2, "T"]);
  return m.value("matmul", [h, t], {}, "f32", ["B", 2, "T", "T"]);
};
const add = (op: LogicalOp, name: string, build: (m: ModelBuilder) => Value): Case => ({
  op,
  name,
  build: (m) => m.output(build(m)),
});

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

export const cases: readonly Case[] = [
  add("input", "a packed input", (m) => x(m)),
  add("input", "an input without tokens", (m) => m.input("flat", "f32", ["B", 3])),
  add("weight", "a weight", (m) => (x(m), m.weight("w", [3, 2]))),
  add("number", "a number", (m) => (x(m), m.number(2.5))),
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
  ...(
    [
      [1, 3],
      [-2, null],
      [0, -1],
      [2, null],
      [-5, -2],
    ] as const
  ).map(([start, stop]) =>
    add("span", `tokens ${start}:${stop ?? ""}`, (m) => {
      const a = x(m);
      m.sequence("S", { kind: "span", parent: "T", start, stop });
      return m.value("span", [a], { dim: 1, axis: "S" }, "f32", ["B", "S", D]);
    }),
  ),
  add("span", "keys of pairs", (m) => {
    const a = pairs(m, x(m));
    m.sequence("S", { kind: "span", parent: "T", start: 1, stop: 4 });
    return m.value("span", [a], { dim: 3, axis: "S" }, "f32", ["B", 2, "T", "S"]);
  }),
  ...[0, 2, -1, -3].map((index) =>
    add("token", `token ${index}`, (m) => m.value("token", [x(m)], { dim: 1, index }, "f32", ["B", D])),
  ),
  add("token", "the last key of pairs", (m) =>
    m.value("token", [pairs(m, x(m))], { dim: 3, index: -1 }, "f32", ["B", 2, "T"]),
  ),
  add("concat", "channels of rows", (m) =>
    m.value("concat", [x(m), x(m, "y", ["B", "T", 2])], { axis: 2 }, "f32", ["B", "T", 6]),
  ),
  add("join", "a sequence, part of it, and itself", (m) => {
    const a = x(m);
    m.sequence("S", { kind: "span", parent: "T", start: 1, stop: null });
    const part = m.value("span", [a], { dim: 1, axis: "S" }, "f32", ["B", "S", D]);
    m.sequence("J", { kind: "join", parts: ["T", "S", "T"] });
    return m.value("join", [a, part, x(m, "y")], { dim: 1, axis: "J" }, "f32", ["B", "J", D]);
  }),
  add("position", "positions on a joined axis start again", (m) => {
    const a = x(m);
    m.sequence("J", { kind: "join", parts: ["T", "T"] });
    const joined = m.value("join", [a, a], { dim: 1, axis: "J" }, "f32", ["B", "J", D]);
    return mul(
      m,
      joined,
      m.value(
        "cast",
        [
          m.value("reshape", [m.value("position", [joined], { axis: "J" }, "u32", ["B", "J"])], {}, "u32", [
            "B",
            "J",
            1,
          ]),
        ],
        {},
        "f32",
        ["B", "J", 1],
      ),
      ["B", "J", D],
    );
  }),
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
  add("rope", "rows, then heads", (m) => {
    const attrs = { theta: 100, frequencies: null, scale: 1 };
    const a = m.value("rope", [x(m)], { dim: 1, ...attrs }, "f32", ["B", "T", D]);
    const h = m.value("reshape", [a], {}, "f32", ["B", "T", 2, 2]);
    return m.value("rope", [h], { dim: 1, ...attrs, frequencies: [0.3], scale: 1.5 }, "f32", ["B", "T", 2, 2]);
  }),
  ...[
    { causal: true, window: 0 },
    { causal: false, window: 0 },
    { causal: true, window: 2 },
    { causal: false, window: 2 },
  ].map((attrs) =>
    add("attention", `three axes, ${JSON.stringify(attrs)}`, (m) =>
      m.value("attention", [x(m), x(m, "k"), x(m, "v", ["B", "T", 3])], { ...attrs, scale: null }, "f32", [
        "B",
        "T",
        3,
      ]),
    ),
  ),
  add("attention", "grouped heads", (m) => {
    const heads = (v: Value, n: number): Value =>
      m.value("permute", [m.value("reshape", [v], {}, "f32", ["B", "T", n, 2])], { order: [0, 2, 1, 3] }, "f32", [
        "B",
        n,
        "T",
        2,
      ]);
    return m.value(
      "attention",
      [heads(x(m, "q", ["B", "T", 8]), 4), heads(x(m, "k"), 2), heads(x(m, "v"), 2)],
      { causal: true, window: 0, scale: 0.7 },
      "f32",
      ["B", 4, "T", 2],
    );
  }),
  add("attention", "chosen queries over all keys", (m) => {
    const a = x(m);
    const chosen = m.top(score(m, a), "T", "K", "ceil(1/2*T)");
    const q = m.value("take", [a, chosen], { dim: 1 }, "f32", ["B", "K", D]);
    return m.value("attention", [q, a, a], { causal: true, window: 3, scale: null }, "f32", ["B", "K", D]);
  }),
  add("top", "the half that is best", (m) =>
    m.value("take", [x(m), m.top(score(m, x(m, "y")), "T", "K", "ceil(1/2*T)")], { dim: 1 }, "f32", ["B", "K", D]),
  ),
  add("above", "whatever is positive", (m) =>
    m.value("take", [x(m), m.above(score(m, x(m, "y")), m.number(0), "T", "K")], { dim: 1 }, "f32", ["B", "K", D]),
  ),
  add("above", "whatever exceeds a threshold of its own", (m) =>
    m.value("take", [x(m), m.above(score(m, x(m, "y")), score(m, x(m, "z")), "T", "K")], { dim: 1 }, "f32", [
      "B",
      "K",
      D,
    ]),
  ),
  add("take", "queries of pairs", (m) => {
    const a = x(m);
    return m.value("take", [pairs(m, a), m.top(score(m, a), "T", "K", 2)], { dim: 2 }, "f32", ["B", 2, "K", "T"]);
  }),
  add("put", "two routes within each other, positions kept", (m) => {
    const a = x(m);
    const outer = m.top(score(m, a), "T", "K", "ceil(3/4*T)");
    const inside = m.value("take", [a, outer], { dim: 1 }, "f32", ["B", "K", D]);
    const inner = m.top(score(m, pointwise(m, "neg", [inside], ["B", "K", D]), "K"), "K", "L", "ceil(1/2*K)");
    const least = m.value("take", [inside, inner], { dim: 1 }, "f32", ["B", "L", D]);
    const turned = m.value("rope", [least], { dim: 1, theta: 10, frequencies: null, scale: 1 }, "f32", ["B", "L", D]);
    const seen = m.value("attention", [turned, turned, least], { causal: true, window: 0, scale: null }, "f32", [
      "B",
      "L",
      D,
    ]);
    const places = m.value(
      "cast",
      [m.value("reshape", [m.value("position", [seen], { axis: "L" }, "u32", ["B", "L"])], {}, "u32", ["B", "L", 1])],
      {},
      "f32",
      ["B", "L", 1],
    );
    const back = m.value("put", [inside, inner, mul(m, seen, places, ["B", "L", D])], { dim: 1 }, "f32", ["B", "K", D]);
    return m.value("put", [a, outer, back], { dim: 1 }, "f32", ["B", "T", D]);
  }),
  add("mask", "of a route", (m) => m.value("mask", [m.top(score(m, x(m)), "T", "K", 2)], {}, "bool", ["B", "T"])),
  add("index", "of a nested route is relative to its own axis", (m) => {
    const a = x(m);
    const outer = m.top(score(m, a), "T", "K", "ceil(3/4*T)");
    const inside = m.value("take", [a, outer], { dim: 1 }, "f32", ["B", "K", D]);
    return m.value("index", [m.above(score(m, inside, "K"), m.number(0.2), "K", "L")], {}, "u32", ["B", "L"]);
  }),
  add("count", "of a route", (m) =>
    m.value("count", [m.above(score(m, x(m)), m.number(0), "T", "K")], {}, "u32", ["B"]),
  ),
  add("length", "half of each sequence, rounded up, of a routed axis", (m) => {
    const a = x(m);
    const outer = m.above(score(m, a), m.number(0), "T", "K");
    const inside = m.value("take", [a, outer], { dim: 1 }, "f32", ["B", "K", D]);
    const inner = m.top(score(m, inside, "K"), "K", "L", "ceil(29/100*K)");
    return m.value(
      "length",
      [inner, outer],
      { size: m.value("take", [inside, inner], { dim: 1 }, "f32", ["B", "L", D]).type.shape[1]! },
      "u32",
      ["B", 1],
    );
  }),
  ...[
    "ceil(29/100*T)",
    "floor(1/3*T) + 2",
    "round(1/2*T)",
    "mod(T, 3)",
    "min(T, 3) + max(T, 2)",
    "div(T, 4)",
    "2*T*T + 1",
  ].map((size) =>
    add("length", size, (m) => {
      const a = x(m);
      const made = m.value(
        "length",
        [],
        { size: m.value("number", [], { value: 0 }, "f32", [size]).type.shape[0]! },
        "f32",
        ["B", 1, 1],
      );
      return mul(m, a, made, ["B", "T", D]);
    }),
  ),
  add("stop_gradient", "is the same value", (m) => m.value("stop_gradient", [x(m)], {}, "f32", ["B", "T", D])),
];
