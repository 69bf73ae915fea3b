// Cases of operations on sequences: spans, joins, rotation, attention, routes and lengths.
import type { Value } from "../../../src/language/check/model/model.js";
import type { ModelBuilder } from "./model-builder.js";
import { add, D, mul, pairs, pointwise, score, x, type Case } from "./case-forms.js";

const PAIRS = { causal: true, window: 0, scale: null, cap: null, weight: false, mask: false, bias: false };

/** Numbers of queries [B, T, 1] and of keys [B, 1, T], which broadcasting pairs. */
const columns = (m: ModelBuilder): readonly Value[] =>
  (
    [
      ["T", 1],
      [1, "T"],
    ] as const
  ).map((tokens, i) => m.value("reshape", [x(m, `side${i}`, ["B", "T"])], {}, "f32", ["B", ...tokens]));
export const tokenCases: readonly Case[] = [
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
  ...[2, 3, 9].map((step) =>
    add("span", `every token in ${step}`, (m) => {
      const a = x(m);
      m.sequence("S", { kind: "stride", parent: "T", step });
      return m.value("span", [a], { dim: 1, axis: "S" }, "f32", ["B", "S", D]);
    }),
  ),
  add("span", "every token in 2 of chosen ones", (m) => {
    const a = x(m);
    const rows = m.value("take", [a, m.above(score(m, a), m.number(0), "T", "K")], { dim: 1 }, "f32", ["B", "K", D]);
    m.sequence("S", { kind: "stride", parent: "K", step: 2 });
    return m.value("span", [rows], { dim: 1, axis: "S" }, "f32", ["B", "S", D]);
  }),
  add("sequence", "a fixed axis, whose positions begin at 0", (m) => {
    x(m);
    m.sequence("N", { kind: "fixed", tokens: 3 });
    const a = m.value("sequence", [m.input("flat", "f32", ["B", 3, D])], { axis: "N" }, "f32", ["B", "N", D]);
    return m.value("rope", [a], { dim: 1, theta: 10, frequencies: null, scale: 1 }, "f32", ["B", "N", D]);
  }),
  add("rows", "by one place a token of another axis", (m) => {
    m.sequence("N", { kind: "fixed", tokens: 3 });
    const index = m.value("sequence", [m.input("index", "u32", ["B", 3])], { axis: "N" }, "u32", ["B", "N"]);
    return m.value("rows", [x(m), index], {}, "f32", ["B", "N", D]);
  }),
  add("rows", "by places from the end, of each sequence", (m) =>
    m.value("rows", [x(m), m.input("index", "i32", ["B", 2, 2])], {}, "f32", ["B", 2, 2, D]),
  ),
  add("rows", "by one place of each sequence", (m) =>
    m.value("rows", [score(m, x(m)), m.input("index", "u32", ["B"])], {}, "f32", ["B"]),
  ),
  add("rows", "by several places a token", (m) =>
    m.value("rows", [x(m), m.input("index", "u32", ["B", "T", 2])], {}, "f32", ["B", "T", 2, D]),
  ),
  ...[0, 2, -1, -3].map((index) =>
    add("token", `token ${index}`, (m) => m.value("token", [x(m)], { dim: 1, index }, "f32", ["B", D])),
  ),
  add("token", "the last key of pairs", (m) =>
    m.value("token", [pairs(m, x(m))], { dim: 3, index: -1 }, "f32", ["B", 2, "T"]),
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
  add("attention", "weights of keys, some of them 0 or below", (m) => {
    const weight = score(m, x(m, "w"));
    return m.value(
      "attention",
      [x(m), x(m, "k"), x(m, "v", ["B", "T", 3]), weight],
      { causal: true, window: 0, scale: null },
      "f32",
      ["B", "T", 3],
    );
  }),
  ...[
    { causal: true, window: 0, scale: null },
    { causal: false, window: 2, scale: 0.4 },
  ].map((attrs) =>
    add("received", `by keys of rows and of heads, ${JSON.stringify(attrs)}`, (m) =>
      m.value("received", [x(m), x(m, "k")], attrs, "f32", ["B", "T"]),
    ),
  ),
  add("received", "by chosen keys, from grouped heads", (m) => {
    const heads = (v: Value, n: number, axis: string): Value =>
      m.value("permute", [m.value("reshape", [v], {}, "f32", ["B", axis, n, 2])], { order: [0, 2, 1, 3] }, "f32", [
        "B",
        n,
        axis,
        2,
      ]);
    const a = x(m);
    const taken = m.value("take", [a, m.top(score(m, a), "T", "K", "ceil(1/2*T)")], { dim: 1 }, "f32", ["B", "K", D]);
    return m.value(
      "received",
      [heads(x(m, "q", ["B", "T", 8]), 4, "T"), heads(taken, 2, "K")],
      { causal: true, window: 0, scale: null },
      "f32",
      ["B", 4, "K"],
    );
  }),
  ...[true, false].map((causal) =>
    add("pair_attention", `a mask, a bias and a cap, causal: ${causal}`, (m) => {
      const sides = columns(m);
      const mask = m.value("pointwise", sides, { fn: "lt" }, "bool", ["B", "T", "T"]);
      const bias = m.value("pointwise", sides, { fn: "mul" }, "f32", ["B", "T", "T"]);
      const attrs = { ...PAIRS, causal, cap: 0.7, mask: true, bias: true };
      const rows = [x(m), x(m, "k"), x(m, "v", ["B", "T", 3])];
      return m.value("pair_attention", [...rows, mask, bias], attrs, "f32", ["B", "T", 3]);
    }),
  ),
  add("mass", "of weighted keys, through a bias in memory", (m) => {
    const turned = m.value("permute", [x(m, "z")], { order: [0, 2, 1] }, "f32", ["B", D, "T"]);
    const q = x(m);
    const bias = m.value("matmul", [q, turned], {}, "f32", ["B", "T", "T"]);
    const attrs = { ...PAIRS, window: 3, weight: true, bias: true };
    return m.value("mass", [q, x(m, "k"), x(m, "w", ["B", "T"]), bias], attrs, "f32", ["B", "T"]);
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
  add("those", "whatever another route left", (m) => {
    const a = x(m);
    const r = m.top(score(m, a), "T", "K", "ceil(1/2*T)");
    const mask = m.value("mask", [r], {}, "bool", ["B", "T"]);
    const rest = m.those(pointwise(m, "not", [mask], ["B", "T"], "bool"), "T", "R", {
      kind: "rest",
      parent: "T",
      taken: "K",
    });
    return m.value("take", [a, rest], { dim: 1 }, "f32", ["B", "R", D]);
  }),
  add("those", "of two comparisons within another route", (m) => {
    const a = x(m);
    const r = m.top(score(m, a), "T", "K", "ceil(3/4*T)");
    const mask = m.value("mask", [r], {}, "bool", ["B", "T"]);
    const positive = pointwise(m, "gt", [score(m, x(m, "y")), m.number(-0.5)], ["B", "T"], "bool");
    const rule = { kind: "those", parent: "T", within: ["K"], expected: { num: 1n, den: 1n } } as const;
    const both = m.those(pointwise(m, "and", [positive, mask], ["B", "T"], "bool"), "T", "R", rule);
    return m.value("put", [a, both, m.value("take", [a, both], { dim: 1 }, "f32", ["B", "R", D])], { dim: 1 }, "f32", [
      "B",
      "T",
      D,
    ]);
  }),
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
];
