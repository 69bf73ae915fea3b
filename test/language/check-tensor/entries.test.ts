// Choices of entries: their types, what becomes of an entry axis, and what is refused.
import { describe, expect, it } from "vitest";
import { pointed, tell, type Setting } from "./harness.js";

/** Eight scores a token: choices of two, three and one entry, and taken values. */
const C: Setting = {
  before:
    "c = top(x, 2, axis: -1)\nd = top(-x, 2, axis: -1)\nthree = top(x, 3, axis: -1)\none = top(x, 1, axis: -1)\n" +
    "p = take(x, c)\nq = take(x, d)\nr = top(s, 3)\nrows = take(x, r)\nsome = above(x, 0.5)\nz = take(x, some)",
};

const accepted: readonly (readonly [expr: string, type: string])[] = [
  ["top(x, 2, axis: -1).index", "u32[B, T, 2]"],
  ["top(x, 2, axis: 2).index", "u32[B, T, 2]"],
  ["top(h, 6, axis: -1).mask", "bool[B, T, 4, 6]"],
  ["top(h, 2, axis: -1).count", "u32[B, T, 4]"],
  ["top(flat, 8, axis: -1).index", "u32[B, 8]"],
  ["c", "u32[B, T, 2]"],
  ["c.mask", "bool[B, T, 8]"],
  ["c.count", "u32[B, T]"],
  ["one.index", "u32[B, T, 1]"],
  ["p", "f32[B, T, 2]"],
  ["take(tokens[..., None] + u32(x), c)", "u32[B, T, 2]"],
  ["take(x > 0, c)", "bool[B, T, 2]"],
  ["put(x, c, 2 * p)", "f32[B, T, 8]"],
  ["put(x, c, p[..., 0:2])", "f32[B, T, 8]"],
  // Entries of equal choices combine, and so do entries that belong to no choice.
  ["p * p + sum(p, axis: -1, keep: true)", "f32[B, T, 2]"],
  ["softmax(p)", "f32[B, T, 2]"],
  ["p[..., None] * x[..., None, :]", "f32[B, T, 2, 8]"],
  ["take(x, one) * x", "f32[B, T, 8]"],
  ["take(x, one) + take(-x, top(-x, 1, axis: -1))", "f32[B, T, 1]"],
  // A fixed number of entries is that number: what is cut, split or merged is plain.
  ["p + x[..., 0:2]", "f32[B, T, 2]"],
  ["p[..., 0] + q[..., 1]", "f32[B, T]"],
  ["p[..., 0:1] + q[..., 0:1]", "f32[B, T, 1]"],
  ['rearrange(p, "b t (k one) -> b t k one", k: 2)', "f32[B, T, 2, 1]"],
  ['rearrange(p[..., None] * x[..., None, :], "b t k d -> b t (k d)")', "f32[B, T, 16]"],
  ['rearrange(p[..., None], "b t k one -> b t one k") + p[..., None, :]', "f32[B, T, 1, 2]"],
  ["concat([p, q], axis: -1)", "f32[B, T, 4]"],
  ["split(p, [1, 1], axis: -1)[0]", "f32[B, T, 1]"],
  ["p @ m[0:2, :]", "f32[B, T, 8]"],
  ["p[..., None, :] @ (p[..., None] * x[..., None, :])", "f32[B, T, 1, 8]"],
  ["table[c.index]", "f32[B, T, 2, 8]"],
  ["take(p, top(p, 1, axis: -1))", "f32[B, T, 1]"],
  // The route of one entry is a route like any other.
  ["take(x, c[0])", "f32[B, K6, 8]"],
  ["take(x, c[-1]) + take(x, c[7])", "f32[B, K6, 8]"],
  ["put(x, c[3], tanh(take(x, c[3])))", "f32[B, T, 8]"],
  ["c[5].mask", "bool[B, T]"],
  ["take(rows, top(rows, 2, axis: -1))", "f32[B, K4, 2]"],
  // A ragged entry axis has as many places as there are entries.
  ["above(x, 0.0).index", "u32[B, T, 8]"],
  ["above(x, s[..., None]).mask", "bool[B, T, 8]"],
  ["above(h, b[0:6]).count", "u32[B, T, 4]"],
  ["those(c.mask and not d.mask, expected: 50%).index", "u32[B, T, 8]"],
  ["those(x > 0).mask", "bool[B, T, 8]"],
  ["top(x, 3, axis: 1).index", "u32[B, T, 8]"],
  ["top(x, ceil(25% * T), axis: 1).mask", "bool[B, T, 8]"],
  ["top(rows, 0, axis: 1).count", "u32[B, K4]"],
  ["z * z + 1", "f32[B, T, 8]"],
  ["put(x, some, 2 * z)", "f32[B, T, 8]"],
  ["softmax(z)", "f32[B, T, 8]"],
  ["sum(z, axis: -1)", "f32[B, T]"],
  ["mean(z)", "f32[]"],
  ["sum(z[..., None] * x[..., None, :], axis: 2)", "f32[B, T, 8]"],
  ["mean(transpose(z[..., None] * x[..., None, :]), axis: -1)", "f32[B, T, 8]"],
  ["sum(take(z, r), axis: -1)", "f32[B, K4]"],
  ['max(rearrange(z, "b t k -> b k t"), axis: 1)', "f32[B, T]"],
  ["take(x, some[2])", "f32[B, K6, 8]"],
  ["take(x, top(x, 3, axis: 1)[2])", "f32[B, K8, 8]"],
];

const refused: readonly (readonly [expr: string, code: string, points: string])[] = [
  ["top(x, 2)", "wrong-rank", "x"],
  ["top(s, 2, axis: -1)", "wrong-rank", "s"],
  ["top(b, 2, axis: -1)", "wrong-rank", "b"],
  ["top(w, 2, axis: -1)", "wrong-rank", "w"],
  ["top(x, 2, axis: 0)", "argument-out-of-range", "0"],
  ["top(h, 2, axis: 2)", "argument-out-of-range", "2"],
  ["top(h, 2, axis: 1)", "wrong-rank", "h"],
  ["top(x, 1.5, axis: 1)", "not-an-integer", "1.5"],
  ["top(x, ceil(150% * T), axis: 1)", "capacity-out-of-range", "150%"],
  ["above(w[None, ...], 0)", "wrong-rank", "w[None, ...]"],
  ["above(x, h[..., 0, 0:2])", "shape-mismatch", "h[..., 0, 0:2]"],
  ["above(x, h[..., None])", "shape-mismatch", "h[..., None]"],
  ["above(half, 0)", "wrong-dtype", "half"],
  ["those(x)", "wrong-dtype", "x"],
  ["z[..., 0]", "ragged-axis", "0"],
  ["z[..., 0:2]", "ragged-axis", "0:2"],
  ["split(z, [4, 4], axis: -1)[0]", "ragged-axis", "-1"],
  ['rearrange(z, "b t (k e) -> b t k e", k: 2)', "ragged-axis", '"b t (k e) -> b t k e"'],
  ["z @ m", "ragged-axis", "@"],
  ["concat([z, z], axis: -1)", "ragged-axis", "[z, z]"],
  ["top(z, 2, axis: -1).index", "ragged-axis", "z"],
  ["mean(z, axis: 1)", "ragged-axis", "1"],
  ["bce(z, x)", "ragged-axis", "z"],
  ["z + x", "shape-mismatch", "+"],
  ["z + take(x, above(x, 0.5))", "unordered-route", "+"],
  ["z + p", "unordered-route", "+"],
  ["top(x, 9, axis: -1)", "choice-too-large", "9"],
  ["top(x, 0, axis: -1)", "choice-too-large", "0"],
  ["top(x, -1, axis: -1)", "choice-too-large", "-1"],
  ["top(x, T, axis: -1)", "not-compile-time", "T"],
  ["top(x, 1.5, axis: -1)", "not-an-integer", "1.5"],
  ["top(tokens, 2, axis: -1)", "wrong-dtype", "tokens"],
  ["top(half, 2, axis: -1)", "wrong-dtype", "half"],
  ["c + 1", "unsupported-operator", "+"],
  ["c.masks", "unknown-member", "masks"],
  ["c[8]", "position-out-of-range", "8"],
  ["c[0, 1]", "bad-index", "c[0, 1]"],
  ["c[T]", "bad-index", "c[T]"],
  ["top(h, 2, axis: -1)[0]", "wrong-rank", "top(h, 2, axis: -1)[0]"],
  ["p + q", "unordered-route", "+"],
  ["p + take(x, three)", "unordered-route", "+"],
  ["where(c.mask, p, q)", "shape-mismatch", "where(c.mask, p, q)"],
  ["put(x, c, q)", "unordered-route", "q"],
  ["put(x, c, x)", "shape-mismatch", "x"],
  ["put(x > 0, c, p)", "wrong-dtype", "x > 0"],
  ["put(x, c, u32(p))", "dtype-mismatch", "u32(p)"],
  ["take(rows, c)", "unordered-route", "rows"],
  ["take(s, c)", "shape-mismatch", "s"],
  ["take(h, c)", "shape-mismatch", "h"],
  ["take(x, 3)", "wrong-operand", "3"],
];

describe("choices of entries", () => {
  it.each(accepted)("%s : %s", (expr, type) => expect(tell(expr, C).told).toBe(type));

  it.each(refused)("%s is refused: %s", (expr, code, points) => {
    const outcome = tell(expr, C);
    expect(outcome.told).toBe(code);
    expect(pointed(outcome)).toBe(points);
    expect(outcome.model).toBeNull();
  });

  it("look at one token at a time; how many tokens chose an entry is known at the end", () => {
    const own = { before: "c = top(x, 2, axis: -1)", phase: "generate" } as const;
    expect(tell("take(x, c)", own).told).toBe("f32[B, T, 2]");
    expect(tell("put(x, c[1], tanh(take(x, c[1])))", own).told).toBe("f32[B, T, 8]");
    expect(tell("c[1].count", own).told).toBe("non-causal-op");
  });
});
