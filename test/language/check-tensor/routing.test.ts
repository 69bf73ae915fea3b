// Routing: which rows meet which, how many are chosen, and what is refused or warned of.
import { describe, expect, it } from "vitest";
import { acceptedRouting, LIVE, R } from "./accepted.js";
import { pointed, tell, tellSource, type Setting } from "./harness.js";

const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["top(x, 3)", "wrong-rank", "x"],
  ["top(s[..., None], 3)", "wrong-rank", "s[..., None]"],
  ["top(b, 3)", "wrong-rank", "b"],
  ["top(flat, 3)", "not-a-sequence", "flat"],
  ["top(tokens, 3)", "wrong-dtype", "tokens"],
  ["top(half[..., 0], 3)", "wrong-dtype", "half[..., 0]"],
  ["top(3, 3)", "wrong-operand", "3"],
  ["top(s, -1)", "negative-k", "-1"],
  ["top(s, 1.5)", "not-an-integer", "1.5"],
  ["top(s, 12.5% * T)", "not-an-integer", "12.5% * T"],
  ["top(s, s)", "wrong-operand", "s"],
  ["top(s, true)", "wrong-operand", "true"],
  ["top(s, ceil(T / 2) + S)", "k-mixes-axes", "ceil(T / 2) + S"],
  ["top(s, capacity)", "not-an-integer", "capacity", LIVE],
  ["top(s, ceil(150% * T))", "capacity-out-of-range", "150%"],
  ["top(s, 2 * T)", "capacity-out-of-range", "2"],
  ["top(s, ceil(-1% * T))", "capacity-out-of-range", "-1%"],
  ["top(s, max(1, floor(min(T, 300% * T))))", "capacity-out-of-range", "300%"],
  [
    "top(s, ceil(2 * capacity * T))",
    "capacity-out-of-range",
    "ceil(2 * capacity * T)",
    { params: "live capacity: ratio = 75%" },
  ],
  ["top(s, ceil(share * T))", "capacity-out-of-range", "ceil(share * T)", { params: "share: ratio = 1250%" }],
  [
    "top(s, ceil(capacity * T))",
    "capacity-out-of-range",
    "ceil(capacity * T)",
    { params: "live capacity: ratio = 101%" },
  ],
  ["above(s, x)", "shape-mismatch", "x"],
  ["above(s, tokens)", "wrong-dtype", "tokens"],
  ["above(s, 0, expected: 150%)", "capacity-out-of-range", "150%"],
  ["above(s, 0, expected: s)", "wrong-operand", "s"],
  ["above(s, 0, expected: T)", "wrong-operand", "T"],
  ["those(s)", "wrong-dtype", "s"],
  ["those(flat > 0)", "not-a-sequence", "flat > 0"],
  ["those(true)", "wrong-operand", "true"],
  ["those(r)", "wrong-operand", "r", R],
  ["those(s > 0, expected: 101%)", "capacity-out-of-range", "101%"],
  ["take(rows, those(not r.mask))", "unordered-route", "rows", R],
  ["take(x, those(r.mask)) + rows", "unordered-route", "+", R],
  ["straight(tokens, s)", "wrong-dtype", "tokens"],
  ["straight(s > 0, half[..., 0])", "wrong-dtype", "half[..., 0]"],
  ["straight(s > 0, s > 0)", "wrong-dtype", "s > 0"],
  ["straight(s > 0, x)", "shape-mismatch", "x"],
  ["straight(s[..., None] > 0, x)", "shape-mismatch", "x"],
  ["straight(s, 1.0)", "wrong-operand", "1.0"],
  ["zeros(like: r)", "wrong-operand", "r", R],
  ["zeros(like: 3)", "wrong-operand", "3"],
  ["take(x, 3)", "wrong-operand", "3", R],
  ["take(r, r)", "wrong-operand", "r", R],
  ["take(other, r)", "unordered-route", "other", R],
  ["take(rows, r)", "unordered-route", "rows", R],
  ["take(flat, r)", "not-a-sequence", "flat", R],
  ["take(x, r) + take(x, q)", "unordered-route", "+", R],
  ["take(x, top(s, 2)) + take(x, top(s, 2))", "unordered-route", "+"],
  ["x + rows", "unordered-route", "+", R],
  ["rows * s[..., None]", "unordered-route", "*", R],
  ["put(x, r, take(x, q))", "unordered-route", "take(x, q)", R],
  ["put(x, r, x)", "unordered-route", "x", R],
  ["put(rows, r, rows)", "unordered-route", "rows", R],
  ["put(x, r, rows[..., 0:3])", "shape-mismatch", "rows[..., 0:3]", R],
  ["put(x, r, rows[..., 0])", "shape-mismatch", "rows[..., 0]", R],
  ["put(x, r, f16(rows))", "dtype-mismatch", "f16(rows)", R],
  ["put(s > 0, r, take(s > 0, r))", "wrong-dtype", "s > 0", R],
  ["put(x, r, 1)", "wrong-operand", "1", R],
  ["rows @ transpose(x) @ rows", "unordered-route", "@", R],
  ["where(s[..., None] > 0, rows, 0)", "unordered-route", "where(s[..., None] > 0, rows, 0)", R],
];

describe("routing", () => {
  for (const [expr, type, setting] of acceptedRouting)
    it(`${expr} : ${type}`, () => expect(tell(expr, setting).told).toBe(type));

  for (const [expr, code, points, setting] of refused)
    it(`${expr} is refused: ${code}`, () => {
      const outcome = tell(expr, setting);
      expect(outcome.told).toBe(code);
      expect(pointed(outcome)).toBe(points);
      expect(outcome.model).toBeNull();
    });

  it.each([
    ["floor(12.5% * T)", 1],
    ["floor(T / 8)", 1],
    ["round(T / 8)", 1],
    ["floor(capacity * T)", 1],
    ["T % 8", 8],
    ["max(0, 20 - T)", 20],
    ["floor(T * 99%)", 1],
  ])("warns that top(s, %s) chooses nothing at a length", (k, length) => {
    const outcome = tell(`top(s, ${k})`, LIVE);
    expect(outcome.told).toBe("capacity-rounds-to-zero");
    expect(pointed(outcome)).toBe(k);
    expect(outcome.diagnostics[0]?.message).toContain(`T = ${length}`);
    expect(outcome.model).not.toBeNull();
  });

  it.each([
    "ceil(1% * T)",
    "max(1, floor(T / 8))",
    "round(T / 2)",
    "T",
    "3",
    "0",
    "ceil(capacity * T)",
    "80 - T",
    "ceil(0% * T)",
  ])("is content with top(s, %s)", (k) => {
    expect(tell(`top(s, ${k})`, LIVE).diagnostics).toEqual([]);
  });

  it.each([
    ["3", 3],
    ["100", 64],
    ["0", 1],
    ["ceil(T / 8)", 8],
    ["ceil(30% * T)", 20],
    ["min(T, 16)", 16],
    ["T - ceil(T / 8)", 64],
    ["ceil(capacity * T)", 64],
  ])("bounds the axis of top(s, %s) by %i", (k, bound) => {
    expect(tell(`top(s, ${k})`, LIVE).model?.axes.find((a) => a.name === "K")?.bound).toBe(bound);
  });

  it.each([
    ["those(s > 0)", { kind: "above" }],
    ["those(not r.mask)", { kind: "rest", taken: "K" }],
    ["those(not (not (not r.mask)))", { kind: "rest", taken: "K" }],
    ["those(not q.mask)", { kind: "above" }],
    ["those(r.mask)", { kind: "those", within: ["K"] }],
    ["those(r.mask and s > 0)", { kind: "those", within: ["K"] }],
    ["those(not r.mask and s > 0)", { kind: "those", within: ["T2"] }],
    ["those(not (r.mask or s > 0))", { kind: "those", within: ["T2"] }],
    ["those(r.mask or s > 0)", { kind: "above" }],
    ["those(r.mask and q.mask)", { kind: "those", within: ["K"] }],
    ["those(not (r.mask and q.mask))", { kind: "above" }],
  ])("counts the tokens of %s by the routes in its mask", (expr, rule) => {
    const { model } = tell(`take(x, ${expr})`, R);
    expect(model?.axes.find((a) => a.name === "K3")).toMatchObject({ count: rule });
  });

  it("bounds the tokens of a conjunction by its parts", () => {
    const { model } = tell("take(x, those(r.mask and s > 0))", { before: "r = top(s, 3)" });
    expect(model?.axes.find((a) => a.name === "K2")?.bound).toBe(3);
  });

  it("counts a nested route by the axis its size mentions", () => {
    const source = (k: string): string => `
      block Inner() { forward(x: f32[B, T, 8]) -> f32[B, T, 8] { r = top(x[..., 1], ${k})\n put(x, r, tanh(take(x, r))) } }
      model M() { inner: Inner()
        forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] { r = top(x[..., 0], ceil(T / 2))\n put(x, r, tanh(inner(take(x, r)))) } }`;
    const { model } = tellSource(source("ceil(T / 4)"));
    expect(model?.axes.map((a) => [a.name, a.bound])).toEqual([
      ["B", null],
      ["T", 64],
      ["K", 32],
      ["K2", 8],
    ]);
    expect(model?.axes[3]).toMatchObject({ count: { kind: "top", parent: "K", k: { key: "ceil(1/4*K)" } } });
  });
});
