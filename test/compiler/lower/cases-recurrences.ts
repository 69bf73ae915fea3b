// Cases of recurrences: rows before and behind, scans, and linear attention.
import type { Value } from "../../../src/language/check/model/model.js";
import { add, D, mul, pairs, pointwise, score, x, type Case } from "./case-forms.js";
import type { ModelBuilder } from "./model-builder.js";

/** [B, n, T, 2]: a separate input, split into heads. */
const ofHeads = (m: ModelBuilder, name: string, n: number, axis = "T", v?: Value): Value =>
  m.value(
    "permute",
    [m.value("reshape", [v ?? x(m, name, ["B", axis, 2 * n])], {}, "f32", ["B", axis, n, 2])],
    { order: [0, 2, 1, 3] },
    "f32",
    ["B", n, axis, 2],
  );

export const recurrenceCases: readonly Case[] = [
  ...[1, 3, 9, -1, -3].map((by) =>
    add("shift", `rows ${by} before`, (m) => m.value("shift", [x(m)], { dim: 1, by }, "f32", ["B", "T", D])),
  ),
  add("shift", "queries of pairs", (m) =>
    m.value("shift", [pairs(m, x(m))], { dim: 2, by: 2 }, "f32", ["B", 2, "T", "T"]),
  ),
  add("shift", "chosen rows, and truths", (m) => {
    const a = x(m);
    const chosen = m.top(score(m, a), "T", "K", "ceil(1/2*T)");
    const taken = m.value("take", [a, chosen], { dim: 1 }, "f32", ["B", "K", D]);
    const positive = pointwise(m, "gt", [taken, m.number(0)], ["B", "K", D], "bool");
    const before = m.value("shift", [positive], { dim: 1, by: 1 }, "bool", ["B", "K", D]);
    const next = m.value("shift", [taken], { dim: 1, by: -1 }, "f32", ["B", "K", D]);
    return mul(m, next, m.value("cast", [before], {}, "f32", ["B", "K", D]), ["B", "K", D]);
  }),
  ...[false, true].flatMap((reverse) => [
    add("scan", `a sum, reverse ${String(reverse)}`, (m) =>
      m.value("scan", [x(m)], { dim: 1, reverse }, "f32", ["B", "T", D]),
    ),
    add("scan", `decays of rows, reverse ${String(reverse)}`, (m) => {
      const decay = m.value("reshape", [score(m, x(m, "d"))], {}, "f32", ["B", "T", 1]);
      return m.value("scan", [x(m), decay], { dim: 1, reverse }, "f32", ["B", "T", D]);
    }),
    add("scan", `rates of columns, of chosen rows, reverse ${String(reverse)}`, (m) => {
      const a = x(m);
      const chosen = m.top(score(m, a), "T", "K", "ceil(1/2*T)");
      const taken = m.value("take", [a, chosen], { dim: 1 }, "f32", ["B", "K", D]);
      return m.value("scan", [taken, m.weight("rate", [D])], { dim: 1, reverse }, "f32", ["B", "K", D]);
    }),
    add("scan", `queries of pairs, reverse ${String(reverse)}`, (m) =>
      m.value("scan", [pairs(m, x(m)), m.number(-0.5)], { dim: 2, reverse }, "f32", ["B", 2, "T", "T"]),
    ),
  ]),
  add("linear_attention", "a sum of pairs", (m) =>
    m.value(
      "linear_attention",
      [ofHeads(m, "q", 2), ofHeads(m, "k", 1), ofHeads(m, "v", 2)],
      { decays: false, forgets: false, scale: 0.5 },
      "f32",
      ["B", 2, "T", 2],
    ),
  ),
  add("linear_attention", "a decay for all tokens", (m) =>
    m.value(
      "linear_attention",
      [ofHeads(m, "q", 1), ofHeads(m, "k", 1), ofHeads(m, "v", 4), m.number(-0.25)],
      { decays: true, forgets: false, scale: 1 },
      "f32",
      ["B", 4, "T", 2],
    ),
  ),
  add("linear_attention", "decays of heads, of chosen rows", (m) => {
    const a = x(m);
    const chosen = m.top(score(m, a), "T", "K", "ceil(1/2*T)");
    const taken = m.value("take", [a, chosen], { dim: 1 }, "f32", ["B", "K", D]);
    const heads = ofHeads(m, "", 2, "K", taken);
    const decay = m.value("reduce", [heads], { fn: "sum", axes: [3], keep: false }, "f32", ["B", 2, "K"]);
    return m.value(
      "linear_attention",
      [heads, heads, heads, decay],
      { decays: true, forgets: false, scale: 1 },
      "f32",
      ["B", 2, "K", 2],
    );
  }),
  add("linear_attention", "what is forgotten, and decays of dimensions", (m) =>
    m.value(
      "linear_attention",
      ["q", "k", "v", "d", "f", "a"].map((name) => ofHeads(m, name, name === "q" || name === "a" ? 1 : 2)),
      { decays: true, forgets: true, scale: 1 },
      "f32",
      ["B", 2, "T", 2],
    ),
  ),
];
