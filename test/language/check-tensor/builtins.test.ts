// Built-in functions: accepted arguments, result types, and refused arguments.
import { describe, expect, it } from "vitest";
import { acceptedBuiltins, HEADS, K, Q } from "./accepted.js";
import { operators, pointed, tell, type Setting } from "./harness.js";

const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["exp(tokens)", "wrong-dtype", "tokens"],
  ["abs(tokens)", "wrong-dtype", "tokens"],
  ["sqrt(s > 0)", "wrong-dtype", "s > 0"],
  ["exp([1])", "wrong-operand", "[1]"],
  ["exp(top(s, 1))", "wrong-operand", "top(s, 1)"],
  ["f32(true)", "wrong-operand", "true"],
  ['u32("a")', "wrong-operand", '"a"'],
  ["u32(0.5)", "number-does-not-fit", "0.5"],
  ["where(s, s, 0)", "wrong-dtype", "s"],
  ["where(s > 0, s, tokens)", "dtype-mismatch", "where(s > 0, s, tokens)"],
  ["where(s > 0, x, 0)", "shape-mismatch", "where(s > 0, x, 0)"],
  ["where(1, s, 0)", "number-does-not-fit", "1"],
  ["max(x, w)", "shape-mismatch", "max(x, w)"],
  ["max(x, half)", "dtype-mismatch", "max(x, half)"],
  ["max(s > 0, s > 1)", "wrong-dtype", "max(s > 0, s > 1)"],
  ["max(x, 0, axis: 1)", "wrong-operand", "1"],
  ["sum(s > 0)", "wrong-dtype", "s > 0"],
  ["mean(tokens)", "wrong-dtype", "tokens"],
  ["sum(x, axis: 3)", "axis-out-of-range", "3"],
  ["sum(x, axis: -4)", "axis-out-of-range", "-4"],
  ["sum(x, axis: [1, -2])", "repeated-axis", "[1, -2]"],
  ["sum(x, axis: 0.5)", "not-an-integer", "0.5"],
  ["sum(x, axis: T)", "wrong-operand", "T"],
  ["sum(x, axis: 1, keep: 1)", "wrong-operand", "1"],
  ["sum(x, axis: 0)", "batch-axis", "0"],
  ["mean(x, axis: [0, 2])", "batch-axis", "[0, 2]"],
  ["mean(flat, axis: 0)", "batch-axis", "0"],
  ["softmax(x, axis: 0)", "batch-axis", "0"],
  ["softmax(tokens)", "wrong-dtype", "tokens"],
  ["argmax(x)", "wrong-operand", "argmax(x)"],
  ["argmax(x, axis: [1, 2])", "wrong-operand", "[1, 2]"],
  ['rearrange(x, "b t d -> b (t d)")', "ragged-axis", '"b t d -> b (t d)"'],
  ['rearrange(x, "b t d -> (b t) d")', "ragged-axis", '"b t d -> (b t) d"'],
  ['rearrange(x, "b (t u) d -> b t u d", u: 2)', "ragged-axis", '"b (t u) d -> b t u d"'],
  ['rearrange(flat, "b d -> (b d)")', "batch-axis", '"b d -> (b d)"'],
  ['rearrange(x, "b t d -> t b d")', "batch-axis", '"b t d -> t b d"'],
  ['rearrange(x, "b t d -> b t")', "bad-pattern", '"b t d -> b t"'],
  ['rearrange(x, "b t -> t b")', "bad-pattern", '"b t -> t b"'],
  ['rearrange(x, "b t d")', "bad-pattern", '"b t d"'],
  ['rearrange(x, "b t (h d) -> b t h d")', "bad-pattern", '"b t (h d) -> b t h d"'],
  ['rearrange(x, "b t (h d) -> b t h d", h: 3)', "bad-pattern", '"b t (h d) -> b t h d"'],
  ['rearrange(x, "b t d -> b t d", e: 3)', "bad-pattern", "3"],
  ['rearrange(x, "b t d -> b t d", d: 3)', "bad-pattern", '"b t d -> b t d"'],
  ['rearrange(x, "b t d -> b t 2 d")', "bad-pattern", '"b t d -> b t 2 d"'],
  ['rearrange(x, "b t t -> b t t")', "bad-pattern", '"b t t -> b t t"'],
  ["rearrange(x, 3)", "wrong-operand", "3"],
  ['rearrange(x, "b t (h d) -> b t h d", h: 0)', "argument-out-of-range", "0"],
  ['rearrange(x, "b t ((h) d) -> b t h d")', "bad-pattern", '"b t ((h) d) -> b t h d"'],
  ["transpose(b)", "wrong-rank", "b"],
  ["transpose(s)", "batch-axis", "s"],
  ["concat([x, half], axis: 2)", "dtype-mismatch", "[x, half]"],
  ["concat([x, s], axis: 1)", "shape-mismatch", "[x, s]"],
  ["concat([x, x[..., 0:2]], axis: 1)", "shape-mismatch", "[x, x[..., 0:2]]"],
  ["concat([x, x], axis: 0)", "batch-axis", "0"],
  ["concat(x, axis: 1)", "wrong-operand", "x"],
  ["concat([], axis: 1)", "wrong-operand", "[]"],
  ["concat([x, 1], axis: 1)", "wrong-operand", "[x, 1]"],
  ["concat([x, x])", "missing-argument", "concat([x, x])"],
  ["concat([x, h[:, :, 0, 0:1][:, :, None][:, 0:0]], axis: 1)", "empty-slice", "0:0"],
  ["concat([x, flat[:, None]], axis: 1)", "shape-mismatch", "[x, flat[:, None]]"],
  ["split(x, [3, 4], axis: -1)[0]", "split-sum", "[3, 4]"],
  ["split(x, 2, axis: -1)[0]", "wrong-operand", "2"],
  ["split(x, [4, 4], axis: 1)[0]", "ragged-axis", "1"],
  ["split(x, [1], axis: 0)[0]", "batch-axis", "0"],
  ["split(x, [0, 8], axis: 2)[0]", "argument-out-of-range", "[0, 8]"],
  [
    "attention(x, take(x, top(s, 2)), take(x, top(s, 2)), causal: true)",
    "unordered-route",
    "take(x, top(s, 2))",
    HEADS,
  ],
  [`attention(${Q}, ${K}, x)`, "shape-mismatch", "x", HEADS],
  ["attention(x, x[..., 0:4], x)", "shape-mismatch", "x[..., 0:4]", HEADS],
  [`attention(${K}, ${Q}, ${Q})`, "heads-mismatch", Q, HEADS],
  ["attention(x, other, x)", "shape-mismatch", "x", HEADS],
  ["attention(x, other, other, causal: true)", "attention-across", "attention(x, other, other, causal: true)", HEADS],
  ["attention(q, q, q)", "not-a-sequence", "q", HEADS],
  ["attention(image, image, image)", "not-a-sequence", "image", HEADS],
  ["attention(s, s, s)", "wrong-rank", "s", HEADS],
  ["received(x, x[..., 0:4])", "shape-mismatch", "x[..., 0:4]", HEADS],
  ["received(x, s)", "wrong-rank", "s", HEADS],
  ["received(x, other, causal: true)", "attention-across", "received(x, other, causal: true)", HEADS],
  ["attention(x, x, x, weight: x)", "wrong-rank", "x", HEADS],
  ["attention(x, other, other, weight: s)", "shape-mismatch", "s", HEADS],
  ["attention(x, x, x, weight: s > 0)", "wrong-dtype", "s > 0", HEADS],
  ["attention(x, x, x, weight: 1.0)", "wrong-operand", "1.0", HEADS],
  ["attention(x, x, x, window: -1)", "argument-out-of-range", "-1", HEADS],
  ["attention(x, x, x, window: 1.5)", "not-an-integer", "1.5", HEADS],
  ["attention(x, x, x, causal: 1)", "wrong-operand", "1", HEADS],
  ["attention(x, x, half)", "dtype-mismatch", "attention(x, x, half)", HEADS],
  ["attention(x, x, x, scale: s)", "not-compile-time", "s", HEADS],
  ["attention(x, x, x[:, 1:])", "shape-mismatch", "x[:, 1:]", HEADS],
  ["rope(x[..., 0:5], 10000.0)", "shape-mismatch", "x[..., 0:5]"],
  ["rope(w, 10000.0)", "not-a-sequence", "w"],
  ["rope(x)", "wrong-operand", "rope(x)"],
  ["rope(x, 0)", "argument-out-of-range", "0"],
  ["rope(x, frequencies: [1])", "argument-out-of-range", "[1]"],
  ["rope(x, 1.0, frequencies: x)", "wrong-operand", "x"],
  ["rope(x @ transpose(x), 1.0)", "several-sequences", "x @ transpose(x)"],
  ["rope(x, 1.0, angles: x[..., 0:4])", "wrong-operand", "1.0"],
  ["rope(x, angles: x)", "shape-mismatch", "x"],
  ["rope(x, angles: tokens)", "wrong-dtype", "tokens"],
  ["tensor([])", "wrong-operand", "[]"],
  ["tensor(3)", "wrong-operand", "3"],
  ["tensor([1, true])", "wrong-operand", "[1, true]"],
  ["tensor([[1, 2], [3]])", "argument-out-of-range", "[[1, 2], [3]]"],
  ["tensor([[1, 2], 3])", "argument-out-of-range", "[[1, 2], 3]"],
  ["tensor([1, x])", "not-compile-time", "[1, x]"],
  ["tensor([1, T])", "not-compile-time", "[1, T]"],
  ["tensor([1, 10 ^ 39])", "number-does-not-fit", "[1, 10 ^ 39]"],
  ["floor(tokens)", "wrong-dtype", "tokens"],
  ["earlier(x, 0)", "argument-out-of-range", "0"],
  ["later(x, -1)", "argument-out-of-range", "-1"],
  ["earlier(x, 1.5)", "not-an-integer", "1.5"],
  ["earlier(x, T)", "not-compile-time", "T"],
  ["earlier(x)", "missing-argument", "earlier(x)"],
  ["earlier(w, 1)", "not-a-sequence", "w"],
  ["later(x @ transpose(x), 1)", "several-sequences", "x @ transpose(x)"],
  ["scan(tokens)", "wrong-dtype", "tokens"],
  ["scan(w)", "not-a-sequence", "w"],
  ["scan(x @ transpose(x))", "several-sequences", "x @ transpose(x)"],
  ["scan(x, log_decay: s)", "shape-mismatch", "s"],
  ["scan(x, log_decay: other)", "shape-mismatch", "other"],
  ["scan(s, log_decay: x)", "shape-mismatch", "x"],
  ["scan(x, log_decay: take(x, top(s, 2)))", "unordered-route", "take(x, top(s, 2))"],
  ["scan(x, log_decay: tokens)", "wrong-dtype", "tokens"],
  ["scan(x, fresh: s)", "wrong-dtype", "s"],
  ["scan(x, fresh: x > 0)", "wrong-rank", "x > 0"],
  ["scan(x, fresh: true)", "wrong-operand", "true"],
  ["scan(x, fresh: other[..., 0] > 0)", "shape-mismatch", "other[..., 0] > 0"],
  ["scan(x, reverse: 1)", "wrong-operand", "1"],
  ["linear_attention(x, x, x, forget: x)", "missing-argument", "linear_attention(x, x, x, forget: x)"],
  ["linear_attention(x, x, x, at: x)", "missing-argument", "linear_attention(x, x, x, at: x)"],
  ["linear_attention(x, x[..., 0:4], x)", "shape-mismatch", "x"],
  ["linear_attention(x, other, x)", "shape-mismatch", "other"],
  ["linear_attention(x, x, take(x, top(s, 2)))", "unordered-route", "x"],
  ["linear_attention(s, s, s)", "wrong-rank", "s"],
  ["linear_attention(half, x, x)", "wrong-dtype", "half"],
  ["linear_attention(h, h, h)", "not-a-sequence", "h"],
  ["linear_attention(x, x, x, log_decay: x[..., 0:3])", "shape-mismatch", "x[..., 0:3]"],
  ["linear_attention(x, x, x, log_decay: b)", "wrong-rank", "b"],
  ["linear_attention(x, x, x, fresh: s)", "wrong-dtype", "s"],
  ["linear_attention(x, x, x, scale: s)", "not-compile-time", "s"],
  ["position(w)", "not-a-sequence", "w"],
  ["position(x @ transpose(x))", "several-sequences", "x @ transpose(x)"],
  ["log_probability(x, s)", "wrong-dtype", "s"],
  ["log_probability(sum(x), tokens)", "wrong-rank", "sum(x)"],
  ["log_probability(x, tokens[:, 1:])", "shape-mismatch", "tokens[:, 1:]"],
  ["cross_entropy(x, s)", "wrong-dtype", "s"],
  ["cross_entropy(half, tokens)", "wrong-dtype", "half"],
  ["cross_entropy(x, tokens[..., None])", "shape-mismatch", "tokens[..., None]"],
  ["cross_entropy(sum(x), tokens)", "wrong-rank", "sum(x)"],
  ["cross_entropy(x, tokens[:, 1:])", "shape-mismatch", "tokens[:, 1:]"],
  ["contrast(x, flat)", "wrong-rank", "x"],
  ["contrast(flat, w)", "wrong-rank", "w"],
  ["contrast(flat, s)", "unknown-extent", "s"],
  ["contrast(flat, tokens)", "wrong-dtype", "tokens"],
  ["contrast(flat, flat[:, :5])", "shape-mismatch", "flat[:, :5]"],
  ["contrast(flat, flat, scale: 0)", "argument-out-of-range", "0"],
  ["contrast(flat, flat, scale: mean(x))", "not-compile-time", "mean(x)"],
  ["bce(s, tokens)", "wrong-dtype", "tokens"],
  ["bce(s, x)", "shape-mismatch", "x"],
  ["bce(half, half)", "wrong-dtype", "half"],
  ["dropout(x, 1)", "argument-out-of-range", "1"],
  ["dropout(x, -0.5)", "argument-out-of-range", "-0.5"],
  ["dropout(tokens, 0.5)", "wrong-dtype", "tokens"],
  ["dropout(x, s)", "not-compile-time", "s"],
  ["random_normal(like: tokens)", "wrong-dtype", "tokens"],
];

describe("built-in functions", () => {
  for (const [expr, type, setting] of acceptedBuiltins)
    it(`${expr} : ${type}`, () => expect(tell(expr, setting).told).toBe(type));

  for (const [expr, code, points, setting] of refused)
    it(`${expr} is refused: ${code}`, () => {
      const outcome = tell(expr, setting);
      expect(outcome.told).toBe(code);
      expect(pointed(outcome)).toBe(points);
    });

  it("drops out in train only", () => {
    const last = (phase: "train" | "infer"): readonly string[] =>
      operators(
        tell("dropout(x, 0.5)", {
          phase,
          members: "objective(x: f32[B, T, 8]) { y = dropout(x, 0.5)\n observe y\n loss l = mean(y) }",
        }).model?.observes[0]?.value,
      );
    expect(last("train")).toEqual(["dropout"]);
    expect(last("infer")).toEqual([]);
  });

  it("gives each random call a stream of its own", () => {
    const value = tell("random_normal(like: s) + random_normal(like: s)").model?.observes[0]?.value;
    const [a, b] = value?.inputs ?? [];
    expect(a?.attrs).not.toEqual(b?.attrs);
  });

  it("rearranges by one reshape, one permutation and one reshape at most", () => {
    expect(operators(tell('rearrange(x, "b t (a c e) -> b t (e a) c", a: 2, c: 2)').model?.observes[0]?.value)).toEqual(
      ["reshape", "permute", "reshape"],
    );
    expect(operators(tell('rearrange(h, "b t h d -> b h t d")').model?.observes[0]?.value)).toEqual(["permute"]);
    expect(operators(tell('rearrange(h, "b t h d -> b t h d")').model?.observes[0]?.value)).toEqual([]);
  });
});
