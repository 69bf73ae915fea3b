// Built-in functions: what each accepts, the type it gives, and what it refuses.
import { describe, expect, it } from "vitest";
import { operators, pointed, tell, type Setting } from "./harness.js";

const HEADS: Setting = { inputs: "q: f32[B, T <= 64, 6, 8], k: f32[B, T, 2, 8], x: f32[B, T, 8], other: f32[B, S, 8], s: f32[B, T], half: f16[B, T, 8], image: f32[B, 9, 8]" };
const Q = 'rearrange(q, "b t h d -> b h t d")';
const K = 'rearrange(k, "b t h d -> b h t d")';

const accepted: readonly (readonly [expr: string, type: string, setting?: Setting])[] = [
  ["f32(tokens)", "f32[B, T]"], ["u32(s)", "u32[B, T]"], ["i32(tokens)", "i32[B, T]"], ["f16(x)", "f16[B, T, 8]"], ["f32(s > 0)", "f32[B, T]"], ["f32(x)", "f32[B, T, 8]"],
  ["f32(3)", "f32[]"], ["u32(7)", "u32[]"], ["f32(T)", "f32[B]"], ["f32(B)", "f32[]"], ["u32(T)", "u32[B]"],
  ...["exp", "log", "sqrt", "rsqrt", "abs", "sin", "cos", "tanh", "sigmoid", "relu", "silu", "gelu", "gelu_tanh"].flatMap(
    (f): [string, string][] => [[`${f}(x)`, "f32[B, T, 8]"], [`${f}(half)`, "f16[B, T, 8]"]],
  ),
  ["abs(signed)", "i32[B, T]"], ["x / sqrt(8)", "f32[B, T, 8]"], ["sqrt(2.0)", "f32[]"],
  ["where(s > 0, s, 0)", "f32[B, T]"], ["where(x > 0, 1, s[..., None])", "f32[B, T, 8]"], ["where(s > 0, 1, 0)", "f32[B, T]"], ["where(s > 0, tokens, 0)", "u32[B, T]"],
  ["where(s > 0, s > 1, false)", "bool[B, T]"],
  ["min(x, 0)", "f32[B, T, 8]"], ["max(0.5, x)", "f32[B, T, 8]"], ["max(x, b)", "f32[B, T, 8]"], ["min(tokens, 5)", "u32[B, T]"], ["max(x, T)", "f32[B, T, 8]"],
  // reductions
  ["sum(x)", "f32[]"], ["mean(x, axis: -1)", "f32[B, T]"], ["mean(x, axis: -1, keep: true)", "f32[B, T, 1]"], ["max(x, axis: 1)", "f32[B, 8]"], ["min(x, axis: [1, 2])", "f32[B]"],
  ["var(x, axis: 2)", "f32[B, T]"], ["argmax(x, axis: -1)", "u32[B, T]"], ["argmax(x, axis: 1, keep: true)", "u32[B, 1, 8]"], ["sum(x, axis: [0, 1])", "f32[8]"],
  ["mean(x, axis: [-1, 0, 1])", "f32[]"], ["sum(tokens)", "u32[]"], ["mean(flat)", "f32[]"], ["sum(w, axis: 0)", "f32[5]"], ["mean(sum(x))", "f32[]"], ["argmax(b)", "u32[]"],
  ["max(x)", "f32[]"], ["sum(x, axis: [0, 1], keep: true)", "f32[1, 1, 8]"],
  ["softmax(x)", "f32[B, T, 8]"], ["softmax(x, axis: 1)", "f32[B, T, 8]"], ["softmax(x @ transpose(x), axis: -1)", "f32[B, T, T]"],
  // shapes
  ['rearrange(h, "b t h d -> b h t d")', "f32[B, 4, T, 6]"], ['rearrange(h, "b t h d -> b t (h d)")', "f32[B, T, 24]"], ['rearrange(x, "b t (h d) -> b h t d", h: 2)', "f32[B, 2, T, 4]"],
  ['rearrange(x, "b t (a c e) -> b t (e a) c", a: 2, c: 2)', "f32[B, T, 4, 2]"], ['rearrange(x, "b t d -> b t 1 d")', "f32[B, T, 1, 8]"], ['rearrange(x, "b ... d -> b d ...")', "f32[B, 8, T]"],
  ['rearrange(h, "... (h d) -> ... h d", d: 3)', "f32[B, T, 4, 2, 3]"], ['rearrange(x, "b t d -> b t d", d: 8)', "f32[B, T, 8]"], ['rearrange(w, "a b -> (b a)")', "f32[40]"],
  ['rearrange(s[..., None], "b t 1 -> b t")', "f32[B, T]"],
  ["transpose(w)", "f32[5, 8]"], ["transpose(x)", "f32[B, 8, T]"], ["transpose(h)", "f32[B, T, 6, 4]"],
  ["concat([x, x, x], axis: -1)", "f32[B, T, 24]"], ["concat([x, x[..., 0:3]], axis: 2)", "f32[B, T, 11]"], ["concat([w], axis: 0)", "f32[8, 5]"], ["concat([x, other], axis: 1)", "f32[B, T2, 8]"],
  ["concat([x, x], axis: 1) + concat([x, x], axis: 1)", "f32[B, T2, 8]"],
  ["split(x, [3, 5], axis: -1)[1]", "f32[B, T, 5]"], ["split(x, [8], axis: 2)[0]", "f32[B, T, 8]"],
  // sequences
  [`attention(${Q}, ${K}, ${K}, causal: true)`, "f32[B, 6, T, 8]", HEADS], [`attention(${Q}, ${Q}, ${Q}[..., 0:5], window: 4)`, "f32[B, 6, T, 5]", HEADS], ["attention(x, x, x)", "f32[B, T, 8]", HEADS],
  ["attention(x, x, x, causal: true, window: 3, scale: 0.5)", "f32[B, T, 8]", HEADS], ["attention(x, other, other)", "f32[B, T, 8]", HEADS],
  ["attention(half, half, half)", "f16[B, T, 8]", HEADS], [`attention(${Q}[:, :, None], ${Q}[:, :, None], ${Q}[:, :, None])`, "f32[B, 6, 1, T, 8]", HEADS],
  ["rope(x, 10000.0)", "f32[B, T, 8]"], ["rope(h, 500000)", "f32[B, T, 4, 6]"], ['rope(rearrange(h, "b t h d -> b h t d"), 10000)', "f32[B, 4, T, 6]"],
  ["rope(x, 10000.0, frequencies: [1, 0.5, 0.25, 0.125], scale: 1.2)", "f32[B, T, 8]"], ["rope(x, frequencies: [for i in 0..4: 1 / (i + 1)])", "f32[B, T, 8]"],
  ["position(x)", "u32[B, T]"], ["position(h)", "u32[B, T]"], ["table[min(position(x), 9)]", "f32[B, T, 8]"],
  // losses and chance
  ["cross_entropy(x, tokens)", "f32[]"], ["cross_entropy(x, signed)", "f32[]"], ["cross_entropy(flat, tokens[:, 0])", "f32[]"], ["bce(s, s > 0)", "f32[]"], ["bce(x, x)", "f32[]"],
  ["bce(s, top(s, 1).mask)", "f32[]"], ["stop_gradient(x)", "f32[B, T, 8]"], ["dropout(x, 0.1)", "f32[B, T, 8]"], ["random_normal(like: s)", "f32[B, T]"], ["random_uniform(like: half)", "f16[B, T, 8]"],
];

const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["exp(tokens)", "wrong-dtype", "tokens"], ["abs(tokens)", "wrong-dtype", "tokens"], ["sqrt(s > 0)", "wrong-dtype", "s > 0"], ["exp([1])", "wrong-operand", "[1]"], ["exp(top(s, 1))", "wrong-operand", "top(s, 1)"],
  ["f32(true)", "wrong-operand", "true"], ['u32("a")', "wrong-operand", '"a"'], ["u32(0.5)", "number-does-not-fit", "0.5"], 
  ["where(s, s, 0)", "wrong-dtype", "s"], ["where(s > 0, s, tokens)", "dtype-mismatch", "where(s > 0, s, tokens)"], ["where(s > 0, x, 0)", "shape-mismatch", "where(s > 0, x, 0)"], ["where(1, s, 0)", "number-does-not-fit", "1"],
  ["max(x, w)", "shape-mismatch", "max(x, w)"], ["max(x, half)", "dtype-mismatch", "max(x, half)"], ["max(s > 0, s > 1)", "wrong-dtype", "max(s > 0, s > 1)"], ["max(x, 0, axis: 1)", "wrong-operand", "1"],
  ["sum(s > 0)", "wrong-dtype", "s > 0"], ["mean(tokens)", "wrong-dtype", "tokens"], ["sum(x, axis: 3)", "axis-out-of-range", "3"], ["sum(x, axis: -4)", "axis-out-of-range", "-4"],
  ["sum(x, axis: [1, -2])", "repeated-axis", "[1, -2]"], ["sum(x, axis: 0.5)", "not-an-integer", "0.5"], ["sum(x, axis: T)", "wrong-operand", "T"], ["sum(x, axis: 1, keep: 1)", "wrong-operand", "1"],
  ["sum(x, axis: 0)", "batch-axis", "0"], ["mean(x, axis: [0, 2])", "batch-axis", "[0, 2]"], ["mean(flat, axis: 0)", "batch-axis", "0"], ["softmax(x, axis: 0)", "batch-axis", "0"], ["softmax(tokens)", "wrong-dtype", "tokens"],
  ["argmax(x)", "wrong-operand", "argmax(x)"], ["argmax(x, axis: [1, 2])", "wrong-operand", "[1, 2]"],
  ['rearrange(x, "b t d -> b (t d)")', "ragged-axis", '"b t d -> b (t d)"'], ['rearrange(x, "b t d -> (b t) d")', "ragged-axis", '"b t d -> (b t) d"'], ['rearrange(x, "b (t u) d -> b t u d", u: 2)', "ragged-axis", '"b (t u) d -> b t u d"'],
  ['rearrange(flat, "b d -> (b d)")', "batch-axis", '"b d -> (b d)"'], ['rearrange(x, "b t d -> t b d")', "batch-axis", '"b t d -> t b d"'], ['rearrange(x, "b t d -> b t")', "bad-pattern", '"b t d -> b t"'],
  ['rearrange(x, "b t -> t b")', "bad-pattern", '"b t -> t b"'], ['rearrange(x, "b t d")', "bad-pattern", '"b t d"'], ['rearrange(x, "b t (h d) -> b t h d")', "bad-pattern", '"b t (h d) -> b t h d"'],
  ['rearrange(x, "b t (h d) -> b t h d", h: 3)', "bad-pattern", '"b t (h d) -> b t h d"'], ['rearrange(x, "b t d -> b t d", e: 3)', "bad-pattern", "3"], ['rearrange(x, "b t d -> b t d", d: 3)', "bad-pattern", '"b t d -> b t d"'],
  ['rearrange(x, "b t d -> b t 2 d")', "bad-pattern", '"b t d -> b t 2 d"'], ['rearrange(x, "b t t -> b t t")', "bad-pattern", '"b t t -> b t t"'], ["rearrange(x, 3)", "wrong-operand", "3"],
  ['rearrange(x, "b t (h d) -> b t h d", h: 0)', "argument-out-of-range", "0"], ['rearrange(x, "b t ((h) d) -> b t h d")', "bad-pattern", '"b t ((h) d) -> b t h d"'],
  ["transpose(b)", "wrong-rank", "b"], ["transpose(s)", "batch-axis", "s"],
  ["concat([x, half], axis: 2)", "dtype-mismatch", "[x, half]"], ["concat([x, s], axis: 1)", "shape-mismatch", "[x, s]"], ["concat([x, x[..., 0:2]], axis: 1)", "shape-mismatch", "[x, x[..., 0:2]]"],
  ["concat([x, x], axis: 0)", "batch-axis", "0"], ["concat(x, axis: 1)", "wrong-operand", "x"], ["concat([], axis: 1)", "wrong-operand", "[]"], ["concat([x, 1], axis: 1)", "wrong-operand", "[x, 1]"], ["concat([x, x])", "missing-argument", "concat([x, x])"],
  ["concat([x, h[:, :, 0, 0:1][:, :, None][:, 0:0]], axis: 1)", "empty-slice", "0:0"], ["concat([x, flat[:, None]], axis: 1)", "shape-mismatch", "[x, flat[:, None]]"],
  ["split(x, [3, 4], axis: -1)[0]", "split-sum", "[3, 4]"], ["split(x, 2, axis: -1)[0]", "wrong-operand", "2"], ["split(x, [4, 4], axis: 1)[0]", "ragged-axis", "1"], ["split(x, [1], axis: 0)[0]", "batch-axis", "0"],
  ["split(x, [0, 8], axis: 2)[0]", "argument-out-of-range", "[0, 8]"],
  ["attention(x, take(x, top(s, 2)), take(x, top(s, 2)), causal: true)", "unordered-route", "take(x, top(s, 2))", HEADS],
  [`attention(${Q}, ${K}, x)`, "shape-mismatch", "x", HEADS], ["attention(x, x[..., 0:4], x)", "shape-mismatch", "x[..., 0:4]", HEADS], [`attention(${K}, ${Q}, ${Q})`, "heads-mismatch", Q, HEADS],
  ["attention(x, other, x)", "shape-mismatch", "x", HEADS], ["attention(x, other, other, causal: true)", "attention-across", "attention(x, other, other, causal: true)", HEADS],
  ["attention(q, q, q)", "not-a-sequence", "q", HEADS], ["attention(image, image, image)", "not-a-sequence", "image", HEADS], ["attention(s, s, s)", "wrong-rank", "s", HEADS], ["attention(x, x, x, window: -1)", "argument-out-of-range", "-1", HEADS],
  ["attention(x, x, x, window: 1.5)", "not-an-integer", "1.5", HEADS], ["attention(x, x, x, causal: 1)", "wrong-operand", "1", HEADS], ["attention(x, x, half)", "dtype-mismatch", "attention(x, x, half)", HEADS],
  ["attention(x, x, x, scale: s)", "not-compile-time", "s", HEADS], ["attention(x, x, x[:, 1:])", "shape-mismatch", "x[:, 1:]", HEADS],
  ["rope(x[..., 0:5], 10000.0)", "shape-mismatch", "x[..., 0:5]"], ["rope(w, 10000.0)", "not-a-sequence", "w"], ["rope(x)", "wrong-operand", "rope(x)"], ["rope(x, 0)", "argument-out-of-range", "0"], ["rope(x, frequencies: [1])", "argument-out-of-range", "[1]"],
  ["rope(x, 1.0, frequencies: x)", "wrong-operand", "x"], ["rope(x @ transpose(x), 1.0)", "several-sequences", "x @ transpose(x)"], ["position(w)", "not-a-sequence", "w"], ["position(x @ transpose(x))", "several-sequences", "x @ transpose(x)"],
  ["cross_entropy(x, s)", "wrong-dtype", "s"], ["cross_entropy(half, tokens)", "wrong-dtype", "half"], ["cross_entropy(x, tokens[..., None])", "shape-mismatch", "tokens[..., None]"], ["cross_entropy(sum(x), tokens)", "wrong-rank", "sum(x)"],
  ["cross_entropy(x, tokens[:, 1:])", "shape-mismatch", "tokens[:, 1:]"], ["bce(s, tokens)", "wrong-dtype", "tokens"], ["bce(s, x)", "shape-mismatch", "x"], ["bce(half, half)", "wrong-dtype", "half"],
  ["dropout(x, 1)", "argument-out-of-range", "1"], ["dropout(x, -0.5)", "argument-out-of-range", "-0.5"], ["dropout(tokens, 0.5)", "wrong-dtype", "tokens"], ["dropout(x, s)", "not-compile-time", "s"], ["random_normal(like: tokens)", "wrong-dtype", "tokens"],
];

describe("built-in functions", () => {
  it.each(accepted)("%s : %s", (expr, type, setting) => expect(tell(expr, setting).told).toBe(type));

  it.each(refused)("%s is refused: %s", (expr, code, points, setting) => {
    const outcome = tell(expr, setting);
    expect(outcome.told).toBe(code);
    expect(pointed(outcome)).toBe(points);
  });

  it("drops out in train only", () => {
    const last = (phase: "train" | "infer"): readonly string[] => operators(tell("dropout(x, 0.5)", { phase, members: "objective(x: f32[B, T, 8]) { y = dropout(x, 0.5)\n observe y\n loss l = mean(y) }" }).model?.observes[0]?.value);
    expect(last("train")).toEqual(["dropout"]);
    expect(last("infer")).toEqual([]);
  });

  it("gives each random call a stream of its own", () => {
    const value = tell("random_normal(like: s) + random_normal(like: s)").model?.observes[0]?.value;
    const [a, b] = value?.inputs ?? [];
    expect(a?.attrs).not.toEqual(b?.attrs);
  });

  it("rearranges by one reshape, one permutation and one reshape at most", () => {
    expect(operators(tell('rearrange(x, "b t (a c e) -> b t (e a) c", a: 2, c: 2)').model?.observes[0]?.value)).toEqual(["reshape", "permute", "reshape"]);
    expect(operators(tell('rearrange(h, "b t h d -> b h t d")').model?.observes[0]?.value)).toEqual(["permute"]);
    expect(operators(tell('rearrange(h, "b t h d -> b t h d")').model?.observes[0]?.value)).toEqual([]);
  });
});
