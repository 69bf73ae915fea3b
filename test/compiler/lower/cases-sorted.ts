// Cases of rows sorted by their experts: sorted, computed by the weights of each, and back among their tokens.
import type { LogicalAttrs, Value } from "../../../src/language/check/model/model.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { add, D, x, type Case } from "./case-forms.js";
import type { ModelBuilder } from "./model-builder.js";

type Members = LogicalAttrs["entry_members"]["members"];

/** A choice of k experts among D, and the axis of its sorted entries. */
function sorting(m: ModelBuilder, k: number, members: Members = [{ first: 0, count: D }]) {
  const choice = m.value("top_entries", [x(m, "score")], { k, choice: "C" }, "u32", ["B", "T", k]);
  const axis = m.sequence("E", { kind: "join", parts: Array.from({ length: k }, () => "T") });
  return { choice, attrs: { axis, members, of: D, call: "E" } };
}

const weights = (m: ModelBuilder, name: string, shape: readonly number[], count = D): Value => {
  const own = Array.from({ length: count }, (_, e) => m.weight(`${e}.${name}`, shape));
  return m.value("expert_weight", own, {}, "f32", shape);
};

/** Rows times the matrix of their expert, by its rows or its columns, plus its vector. */
const computed = (m: ModelBuilder, k: number, turned: boolean, members?: Members): Value => {
  const { choice, attrs } = sorting(m, k, members);
  const count = attrs.members.reduce((n, s) => n + s.count, 0);
  const rows = m.value("sort_rows", [x(m), choice], attrs, "f32", ["B", "E", D]);
  const matrix = weights(m, "w", turned ? [6, D] : [D, 6], count);
  const b = turned ? m.value("permute", [matrix], { order: [1, 0] }, "f32", [D, 6]) : matrix;
  const product = m.value("matmul", [rows, b], {}, "f32", ["B", "E", 6]);
  const sum = m.value("pointwise", [product, weights(m, "b", [6], count)], { fn: "add" }, "f32", ["B", "E", 6]);
  return m.value("unsort_entries", [sum, choice], attrs, "f32", ["B", "T", k, 6]);
};

const APART: Members = [
  { first: 0, count: 1 },
  { first: 2, count: 2 },
];

/** Rows of what entries choose two tokens each, or of at most two entries a token that more is asked of, and back. */
const ragged = (m: ModelBuilder, entriesChoose: boolean): Value => {
  const axis = m.sequence("K", { kind: "top", parent: "T", k: 2 });
  const score = x(m, "score");
  const above = m.value("pointwise", [score, m.number(0)], { fn: "gt" }, "bool", ["B", "T", D]);
  const best = m.value("top_entries", [score], { k: 2, choice: "C" }, "u32", ["B", "T", 2]);
  const within = m.value("entry_mask", [best], {}, "bool", ["B", "T", D]);
  const mask = entriesChoose
    ? m.value("top_tokens", [score], { axis }, "bool", ["B", "T", D])
    : m.value("pointwise", [above, within], { fn: "and" }, "bool", ["B", "T", D]);
  const choice = m.value("those_entries", [mask], { expected: rational(1), choice: "" }, "u32", ["B", "T", D]);
  const parts = entriesChoose ? Array.from({ length: D }, () => axis) : ["T", "T"];
  const attrs = { axis: m.sequence("E", { kind: "join", parts }), members: [{ first: 0, count: D }], of: D, call: "E" };
  const rows = m.value("sort_rows", [x(m), choice], attrs, "f32", ["B", "E", D]);
  const own = m.value("sort_entries", [x(m, "y"), choice], attrs, "f32", ["B", "E"]);
  const gate = m.value("reshape", [own], {}, "f32", ["B", "E", 1]);
  const scaled = m.value("pointwise", [rows, gate], { fn: "mul" }, "f32", ["B", "E", D]);
  const back = m.value("unsort_entries", [scaled, choice], attrs, "f32", ["B", "T", D, D]);
  const exists = m.value("entry_exists", [choice], {}, "bool", ["B", "T", D]);
  const beside = m.value("reshape", [exists], {}, "bool", ["B", "T", D, 1]);
  return m.value("pointwise", [beside, back, m.number(0)], { fn: "where" }, "f32", ["B", "T", D, D]);
};

export const sortedCases: readonly Case[] = [
  add("unsort_entries", "of experts that choose", (m) => ragged(m, true)),
  add("unsort_entries", "of some of what tokens choose", (m) => ragged(m, false)),
  add("sort_rows", "and back", (m) => {
    const { choice, attrs } = sorting(m, 2);
    const rows = m.value("sort_rows", [x(m), choice], attrs, "f32", ["B", "E", D]);
    return m.value("unsort_entries", [rows, choice], attrs, "f32", ["B", "T", 2, D]);
  }),
  add("sort_entries", "with a number of each expert", (m) => {
    const { choice, attrs } = sorting(m, 3);
    const own = m.value("sort_entries", [x(m, "y", ["B", "T", 3]), choice], attrs, "f32", ["B", "E"]);
    const apart = m.value("reshape", [own], {}, "f32", ["B", "E", 1]);
    const scaled = m.value("pointwise", [apart, weights(m, "c", [])], { fn: "mul" }, "f32", ["B", "E", 1]);
    return m.value("unsort_entries", [scaled, choice], attrs, "f32", ["B", "T", 3, 1]);
  }),
  ...[1, 2, D].flatMap((k) =>
    [true, false].map((turned) =>
      add("expert_weight", `of ${k} entries${turned ? ", turned" : ""}`, (m) => computed(m, k, turned)),
    ),
  ),
  add("entry_members", "of two stretches", (m) => {
    const { choice, attrs } = sorting(m, 2, APART);
    return m.value("entry_members", [choice], { members: attrs.members }, "bool", ["B", "T", 2]);
  }),
  add("unsort_entries", "of some experts", (m) => computed(m, 2, true, [{ first: 1, count: 2 }])),
  add("unsort_entries", "of experts apart", (m) => computed(m, 3, false, APART)),
  add("unsort_entries", "of all experts", (m) => computed(m, D, true)),
];
