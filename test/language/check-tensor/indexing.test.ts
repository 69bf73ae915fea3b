// Indexing and members: Python's rules on symbolic shapes.
import { describe, expect, it } from "vitest";
import { acceptedIndices } from "./accepted.js";
import { operators, pointed, tell, type Setting } from "./harness.js";

const free: Setting = { inputs: "x: f32[B, T, 8], v: f32[B, T, F]" };
const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["x[..., 8]", "position-out-of-range", "8"],
  ["x[..., -9]", "position-out-of-range", "-9"],
  ["x[0]", "batch-axis", "0"],
  ["x[0:1]", "batch-axis", "0:1"],
  ["x[None]", "batch-axis", "x[None]"],
  ["x[tokens]", "batch-axis", "x[tokens]"],
  ["x[0, 0, 0, 0]", "too-many-indices", "x[0, 0, 0, 0]"],
  ["x[..., 0, ...]", "bad-index", "x[..., 0, ...]"],
  ["x[..., 0.5]", "not-an-integer", "0.5"],
  ["table[s > 0]", "wrong-dtype", "s > 0"],
  ["table[s]", "wrong-dtype", "s"],
  ["table[:, tokens]", "bad-index", "tokens"],
  ["table[tokens, 0]", "bad-index", "tokens"],
  ['x["a"]', "bad-index", '"a"'],
  ["x[..., 3:3]", "empty-slice", "3:3"],
  ["x[..., 9:]", "empty-slice", "9:"],
  ["x[:, 5:2]", "empty-slice", "5:2"],
  ["x[:, 12.5% * T:]", "not-an-integer", "12.5% * T"],
  ["x[:, S:]", "unknown-name", "S", { inputs: "x: f32[B, T, 8]" }],
  ["x[:, S:]", "size-of-other-axis", "S"],
  ["x[:, B]", "size-of-other-axis", "B"],
  ["x[:, T]", "size-of-other-axis", "T"],
  ["x[..., T]", "unknown-extent", "T"],
  ["v[..., 0]", "unknown-extent", "0", free],
  ["v[..., 1:]", "unknown-extent", "1:", free],
  ["top(s, 2)[0]", "bad-index", "top(s, 2)[0]"],
  ["top(s, 2).indices", "unknown-member", "indices"],
  ["x.shape", "unknown-member", "shape"],
  ["x[:, 1:] + x[:, :-1]", "shape-mismatch", "+"],
  ["x[:, 1:] + x", "shape-mismatch", "+"],
];

describe("indexing", () => {
  for (const [expr, type, setting] of acceptedIndices)
    it(`${expr} : ${type}`, () => expect(tell(expr, setting).told).toBe(type));

  for (const [expr, code, points, setting] of refused)
    it(`${expr} is refused: ${code}`, () => {
      const outcome = tell(expr, setting);
      expect(outcome.told).toBe(code);
      expect(pointed(outcome)).toBe(points);
    });

  it("leaves a whole slice as it is", () => {
    expect(operators(tell("x[:, :, 0:100]").model?.observes[0]?.value)).toEqual([]);
  });

  it("takes one token of each sequence by its own length", () => {
    const value = tell("x[:, T - 2]").model?.observes[0]?.value;
    expect(value?.attrs).toEqual({ dim: 1, index: -2 });
  });

  it.each([
    ["x[:, 1:]", 63],
    ["x[:, -3:]", 3],
    ["x[:, :5]", 5],
    ["x[:, :-5]", 59],
    ["x[:, 2:4]", 2],
    ["x[:, -3:2]", 2],
    ["x[:, 60:100]", 4],
    ["x[:, ceil(T / 2):]", 64],
  ])("bounds the axis of %s by %i", (expr, bound) => {
    expect(tell(expr).model?.axes.find((a) => a.name === "T2")?.bound).toBe(bound);
  });
});
