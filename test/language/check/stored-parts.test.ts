// `names` whose keys have indices: the keys that state parts, and one message for each fault.
import { describe, expect, it } from "vitest";
import { codesOf, modelOf, told } from "./harness.js";

const MEMBERS = "weight q: f32[2, 4]\n  weight k: f32[2, 4]\n  weight v: f32[2, 4]";
const source = (names: readonly string[], members = MEMBERS, params = "dim: int = 4"): string => `model M(${params}) {
  ${members}
  names {
    ${names.join("\n    ")}
  }
  forward(x: f32[B, T]) -> f32[B, T] { x }
}`;
const keys = (...names: readonly string[]): readonly (readonly string[])[] =>
  modelOf(source(names)).weights.map((weight) => weight.keys);

describe("names with indices", () => {
  it("state the indices and the sizes of the stored tensor in each key", () => {
    expect(keys('"q" = "x"[:2]', '"k" = "x"[2:dim]', '"v" = "x"[dim:]')).toEqual([
      ["x[0:2/6, 0:4/4]"],
      ["x[2:4/6, 0:4/4]"],
      ["x[4:6/6, 0:4/4]"],
    ]);
    expect(keys('"{w}" = "x.{w}"^T')).toEqual([
      ["x.q[0:4/4, 0:2/2]^T"],
      ["x.k[0:4/4, 0:2/2]^T"],
      ["x.v[0:4/4, 0:2/2]^T"],
    ]);
    expect(keys('"q" = "x"[0] or "own"', '"k" = "x"[2]', '"v" = "x"[1] or "y"[:, 0:dim / 2]^T or "z"[0]')).toEqual([
      ["x[0/3, 0:2/2, 0:4/4]", "own"],
      ["x[2/3, 0:2/2, 0:4/4]"],
      ["x[1/3, 0:2/2, 0:4/4]", "y[0:4/4, 0:2/2]^T", "z[0/1, 0:2/2, 0:4/4]"],
    ]);
  });

  it("are of the model's parameters", () => {
    const model = modelOf(source(['"{w}" = "x.{w}"[0:dim / 2]'], MEMBERS, "dim: int = 4"));
    expect(model.weights.map((weight) => weight.keys[0])).toEqual([
      "x.q[0:2/2, 0:4/4]",
      "x.k[0:2/2, 0:4/4]",
      "x.v[0:2/2, 0:4/4]",
    ]);
  });

  it.each([
    ["a gap", ['"q" = "x"[0:2]', '"k" = "x"[3:5]'], "partial-key", /of its 20 numbers, \[5, 4\], 16 are read/],
    ["rows before", ['"q" = "x"[2:4]'], "partial-key", /of its 16 numbers, \[4, 4\], 8 are read/],
    [
      "an overlap",
      ['"q" = "x"[0:2]', '"k" = "x"[1:3]'],
      "partial-key",
      /"q" reads \[0:2, :\], and "k" reads \[1:3, :\]/,
    ],
    ["steps that meet", ['"q" = "x"[0:3:2]', '"k" = "x"[2:5:2]'], "partial-key", /"q" reads .*, and "k" reads/],
    [
      "one part twice",
      ['"q" = "x"[0:2]', '"k" = "x"[0:2]'],
      "partial-key",
      /"q" reads \[:, :\], and "k" reads \[:, :\]/,
    ],
    ["a whole and a part", ['"q" = "x"', '"k" = "x"[0:2]'], "partial-key", /"q" reads all of it/],
    ["a path and a part", ['"k" = "q"[0:2]'], "partial-key", /"q" reads all of it/],
    ["several ranks", ['"q" = "x"[0]', '"k" = "x"[0:2]'], "partial-key", /with 3 indices, .* with 2/],
    ["a range that stops early", ['"q" = "x"[0:]', '"k" = "x"[2:4]'], "partial-key", /which does not reach the end/],
    ["other columns", ['"q" = "x"[:, 0:3]'], "part-shape", /the part of "x" is \[2, 3\]/],
    ["too many axes", ['"q" = "x"[:, :, :]'], "part-shape", /the part of "x" has 3 axes/],
    ["a transpose of other sizes", ['"q" = "x"[0:2]^T'], "part-shape", /the part of "x" is \[4, 2\]|is \[/],
    ["a run beyond its step", ['"q" = "x"[0::2:3]'], "part-index", /a run of 3 .*: a run is at least 1 and at most/],
    ["a run of 0", ['"q" = "x"[0::2:0]'], "part-index", /a run of 0/],
    ["a run of one index", ['"q" = "x"[0:1]', '"k" = "x"[1:3]:2'], "unexpected-token", /./],
    ["a range that ends within a run", ['"q" = "x"[0:5:4:2]'], "part-index", /it ends within a run/],
    ["runs that the weight has no multiple of", ['"q" = "x"[:, 0::6:3]'], "part-shape", /has runs of 3/],
    ["runs with a gap between", ['"q" = "x"[:, 0::3:2]'], "partial-key", /of its 10 numbers, \[2, 5\], 8 are read/],
    ["runs that meet", ['"q" = "x"[:, 0::4:2]', '"k" = "x"[:, 1::4:2]'], "partial-key", /"q" reads .*, and "k" reads/],
    ["a negative start", ['"q" = "x"[-2:]'], "part-index", /-2 is no index of a stored tensor: the start/],
    ["a step of 0", ['"q" = "x"[0:2:0]'], "part-index", /a step of 0/],
    ["an empty range", ['"q" = "x"[2:2]'], "part-index", /the range is empty/],
    ["a text", ['"{w}" = "x"[{w}]'], "part-index", /\{w\} is no index of a stored tensor: here it is "q"/],
    ["an ellipsis", ['"q" = "x"[..., 0:2]'], "part-index", /`\.\.\.` is no index/],
    ["no segment", ['"q" = "x"[{e}]'], "unbound-placeholder", /binds no \{e\}/],
    ["no parameter", ['"q" = "x"[0:width]'], "unknown-name", /nothing is called `width`/],
    ["half a number", ['"q" = "x"[0:dim / 3]'], "not-an-integer", /./],
    ["a key that ends like a part", ['"q" = "x[0:2/2, 0:4/4]"'], "reserved-key", /./],
    ["a huge tensor", ['"q" = "x"[9007199254740990:]'], "partial-key", /./],
  ] as const)("refuse %s", (_, names, code, message) => {
    expect(codesOf(source(names))).toEqual([code]);
    expect(told(source(names))).toMatch(message);
  });

  it("refuse many parts that are compared pair by pair with a limit, not by hanging", () => {
    const count = 3000;
    const members = Array.from({ length: count }, (_, i) => `weight w${i}: f32[1]`).join("\n  ");
    const names = Array.from({ length: count }, (_, i) => `"w${i}" = "x"[${i}:${i + 1}]`);
    expect(codesOf(source(names, members)).every((code) => code === "limit-exceeded")).toBe(true);
  });
});
