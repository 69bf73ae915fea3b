// Cases of choices of entries: chosen, masked, counted, taken, put, and what routes of single entries give and get.
import type { Value } from "../../../src/language/check/model/model.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { add, D, x, type Case } from "./case-forms.js";
import { sizes, type ModelBuilder } from "./model-builder.js";

const chosenOf = (m: ModelBuilder, score: Value, k: number): Value<"top_entries"> => {
  const shape = score.type.shape.map((s) => (typeof s === "number" ? s : s.key));
  return m.value("top_entries", [score], { k, choice: "C" }, "u32", [...shape.slice(0, -1), k]);
};

/** The route of the tokens that chose entry e. */
const routeOf = (m: ModelBuilder, choice: Value, e: number): Value => {
  const mask = m.value("entry_mask", [choice], {}, "bool", ["B", "T", D]);
  const own = m.value("slice", [mask], { axis: 2, start: e, stop: e + 1 }, "bool", ["B", "T", 1]);
  const score = m.value("cast", [m.value("reshape", [own], {}, "bool", ["B", "T"])], {}, "f32", ["B", "T"]);
  return m.above(score, m.number(0.5), "T", `E${e}`);
};

/** The result of experts that multiply by 1, 2, 3, …, along the tokens at dimension `dim` of [B, T, D] or [B, D, T]. */
const joined = (m: ModelBuilder, k: number, turned: boolean): Value => {
  const a = x(m);
  const choice = chosenOf(m, x(m, "score"), k);
  const parts = Array.from({ length: D }, (_, e) => {
    const route = routeOf(m, choice, e);
    const rows = m.value("take", [a, route], { dim: 1 }, "f32", ["B", `E${e}`, D]);
    const y = m.value("pointwise", [rows, m.number(e + 1)], { fn: "mul" }, "f32", ["B", `E${e}`, D]);
    return [route, turned ? m.value("permute", [y], { order: [0, 2, 1] }, "f32", ["B", D, `E${e}`]) : y];
  });
  return turned
    ? m.value("join_entries", [choice, ...parts.flat()], { dim: 2 }, "f32", ["B", D, "T", k])
    : m.value("join_entries", [choice, ...parts.flat()], { dim: 1 }, "f32", ["B", "T", k, D]);
};

/** The elements of x above 0, as a choice, and a mask: true for entries that exist. */
const thoseOf = (m: ModelBuilder): { readonly choice: Value; readonly exists: Value } => {
  const mask = m.value("pointwise", [x(m, "score"), m.number(0)], { fn: "gt" }, "bool", ["B", "T", D]);
  const choice = m.value("those_entries", [mask], { expected: rational(1), choice: "" }, "u32", ["B", "T", D]);
  return { choice, exists: m.value("entry_exists", [choice], {}, "bool", ["B", "T", D]) };
};

const REDUCTIONS = ["sum", "mean", "max", "min", "var", "argmax"] as const;

/** Of each entry the best tokens, as a mask. */
const chosenTokens = (m: ModelBuilder, k: string | number): Value => {
  const axis = m.sequence("K", { kind: "top", parent: "T", k: sizes([k])[0]! });
  return m.value("top_tokens", [x(m, "score")], { axis }, "bool", ["B", "T", D]);
};

export const entryCases: readonly Case[] = [
  ...[0, 2, "ceil(1/2*T)", 99].map((k) => add("top_tokens", `${k} for each entry`, (m) => chosenTokens(m, k))),
  add("those_entries", "of each token", (m) => thoseOf(m).choice),
  add("entry_exists", "of each token", (m) => thoseOf(m).exists),
  add("entry_index", "of what exists", (m) => m.value("entry_index", [thoseOf(m).choice], {}, "u32", ["B", "T", D])),
  add("entry_count", "of what exists", (m) => m.value("entry_count", [thoseOf(m).choice], {}, "u32", ["B", "T"])),
  add("entry_mask", "of what exists", (m) => m.value("entry_mask", [thoseOf(m).choice], {}, "bool", ["B", "T", D])),
  add("take_entries", "of what exists", (m) =>
    m.value("take_entries", [x(m), thoseOf(m).choice], {}, "f32", ["B", "T", D]),
  ),
  add("put_entries", "of what exists", (m) =>
    m.value("put_entries", [x(m), thoseOf(m).choice, x(m, "y")], {}, "f32", ["B", "T", D]),
  ),
  ...REDUCTIONS.map((fn) =>
    add("reduce", `${fn} over the entries that exist`, (m) =>
      m.value("reduce", [x(m), thoseOf(m).exists], { fn, axes: [2], keep: false }, fn === "argmax" ? "u32" : "f32", [
        "B",
        "T",
      ]),
    ),
  ),
  ...(["sum", "mean", "max", "var"] as const).map((fn) =>
    add("reduce", `${fn} over tokens and the entries that exist`, (m) =>
      m.value("reduce", [x(m), thoseOf(m).exists], { fn, axes: [1, 2], keep: true }, "f32", ["B", 1, 1]),
    ),
  ),
  add("reduce", "mean over the entries that exist, which stand before the tokens", (m) => {
    const turned = m.value("permute", [x(m)], { order: [0, 2, 1] }, "f32", ["B", D, "T"]);
    const exists = m.value("permute", [thoseOf(m).exists], { order: [0, 2, 1] }, "bool", ["B", D, "T"]);
    return m.value("reduce", [turned, exists], { fn: "mean", axes: [1], keep: false }, "f32", ["B", "T"]);
  }),
  add("reduce", "mean over the entries that exist, of rows", (m) => {
    const exists = m.value("reshape", [thoseOf(m).exists], {}, "bool", ["B", "T", D, 1]);
    return m.value("reduce", [x(m, "y", ["B", "T", D, 3]), exists], { fn: "mean", axes: [2], keep: false }, "f32", [
      "B",
      "T",
      3,
    ]);
  }),
  add("softmax", "over the entries that exist", (m) =>
    m.value("softmax", [x(m), thoseOf(m).exists], { axis: 2 }, "f32", ["B", "T", D]),
  ),
  ...[1, 2, D].map((k) => add("top_entries", `${k} of ${D}`, (m) => chosenOf(m, x(m), k))),
  add("top_entries", "of a score for each sequence", (m) => chosenOf(m, x(m, "flat", ["B", 5]), 2)),
  add("top_entries", "in groups", (m) => chosenOf(m, x(m, "x", ["B", "T", 2, 3]), 2)),
  add("entry_index", "of each token", (m) => m.value("entry_index", [chosenOf(m, x(m), 2)], {}, "u32", ["B", "T", 2])),
  add("entry_mask", "of each token", (m) => m.value("entry_mask", [chosenOf(m, x(m), 2)], {}, "bool", ["B", "T", D])),
  add("entry_count", "of each token", (m) => m.value("entry_count", [chosenOf(m, x(m), 3)], {}, "u32", ["B", "T"])),
  add("take_entries", "of another tensor", (m) =>
    m.value("take_entries", [x(m), chosenOf(m, x(m, "score"), 2)], {}, "f32", ["B", "T", 2]),
  ),
  add("put_entries", "into another tensor", (m) =>
    m.value("put_entries", [x(m), chosenOf(m, x(m, "score"), 2), x(m, "y", ["B", "T", 2])], {}, "f32", ["B", "T", D]),
  ),
  add("take_entry", "of the tokens that chose it", (m) => {
    const choice = chosenOf(m, x(m, "score"), 2);
    const route = routeOf(m, choice, 1);
    return m.value("take_entry", [x(m, "y", ["B", "T", 2, 3]), choice, route], { dim: 1, entry: 1 }, "f32", [
      "B",
      "E1",
      3,
    ]);
  }),
  add("join_entries", "two of each token", (m) => joined(m, 2, false)),
  add("join_entries", "one of each token", (m) => joined(m, 1, false)),
  add("join_entries", "all of each token, which stand last", (m) => joined(m, D, true)),
];
