// Expressions that the checker accepts, each with its type: what the tests of single rooms and of all together go through.
import type { Setting } from "./harness.js";

export type Accepted = readonly (readonly [expr: string, type: string, setting?: Setting])[];

export const acceptedOperators: Accepted = [
  // numbers take the tensor's dtype
  ["x + 1", "f32[B, T, 8]"], ["2 * x", "f32[B, T, 8]"], ["1 - x", "f32[B, T, 8]"], ["x / 3", "f32[B, T, 8]"], ["x * 12.5%", "f32[B, T, 8]"],
  ["tokens + 1", "u32[B, T]"], ["signed - 1", "i32[B, T]"], ["half * 0.5", "f16[B, T, 8]"], ["tokens * tokens", "u32[B, T]"],
  // broadcasting
  ["x + b", "f32[B, T, 8]"], ["b + x", "f32[B, T, 8]"], ["x * s[..., None]", "f32[B, T, 8]"], ["h * h[..., 0:1]", "f32[B, T, 4, 6]"],
  ["s[..., None] + b", "f32[B, T, 8]"], ["x + flat[:, None]", "f32[B, T, 8]"], ["x[:, :, None] * b[:, None]", "f32[B, T, 8, 8]"],
  // powers
  ["x ^ 2", "f32[B, T, 8]"], ["x ^ -1", "f32[B, T, 8]"], ["x ^ 0.5", "f32[B, T, 8]"], ["2 ^ x", "f32[B, T, 8]"], ["x ^ x", "f32[B, T, 8]"], ["x ^ 0", "f32[B, T, 8]"],
  // comparison and logic
  ["x > 0", "bool[B, T, 8]"], ["s <= s", "bool[B, T]"], ["tokens == 3", "bool[B, T]"], ["tokens != tokens", "bool[B, T]"], ["s > 0 and s < 1", "bool[B, T]"],
  ["not (s > 0)", "bool[B, T]"], ["s > 0 or true", "bool[B, T]"], ["(s > 0) == (s < 1)", "bool[B, T]"], ["-x", "f32[B, T, 8]"], ["-signed", "i32[B, T]"],
  // sizes and live parameters as values
  ["x / T", "f32[B, T, 8]"], ["T * x", "f32[B, T, 8]"], ["tokens + T", "u32[B, T]"], ["x * ceil(T / 2)", "f32[B, T, 8]"], ["b * T", "f32[B, 8]"],
  ["x * B", "f32[B, T, 8]"], ["half * T", "f16[B, T, 8]"], ["capacity * x", "f32[B, T, 8]", { params: "live capacity: ratio = 12.5%" }],
  ["half * capacity", "f16[B, T, 8]", { params: "live capacity: ratio = 12.5%" }], ["x * (capacity * T)", "f32[B, T, 8]", { params: "live capacity: ratio = 12.5%" }],
  // products
  ["x @ w", "f32[B, T, 5]"], ["x @ m @ w", "f32[B, T, 5]"], ["x @ b", "f32[B, T]"], ["b @ w", "f32[5]"], ["b @ b", "f32[]"], ["flat @ w", "f32[B, 5]"],
  ["x @ transpose(x)", "f32[B, T, T]"], ["(x @ transpose(x)) @ x", "f32[B, T, 8]"], ["b @ wide", "f32[3, 5]"], ["x[:, :, None, None, :] @ wide", "f32[B, T, 3, 1, 5]"],
  ["b @ transpose(x)", "f32[B, T]"],
];

const FREE: Setting = { inputs: "x: f32[B, T <= 64, 8], v: f32[B, T, F]" };
const FREE_AXES: Accepted = [
  ["v + 1", "f32[B, T, F]", FREE], ["sum(v, axis: -1)", "f32[B, T]", FREE], ["softmax(v)", "f32[B, T, F]", FREE], ["transpose(v) @ x", "f32[B, F, 8]", FREE], ["v[:, 1:]", "f32[B, T2, F]", FREE],
  ['rearrange(v[:, :, None] * x[..., None], "b t d f -> b t (d f)")', "f32[B, T, 8*F]", FREE], ["concat([v, x], axis: 2)", "f32[B, T, F + 8]", FREE], ["var(sum(v))", "f32[]", FREE],
];

export const acceptedIndices: Accepted = [
  ["x[..., 0]", "f32[B, T]"], ["x[..., -1]", "f32[B, T]"], ["x[..., None]", "f32[B, T, 8, 1]"], ["x[:, :, None]", "f32[B, T, 1, 8]"], ["x[:, None]", "f32[B, 1, T, 8]"],
  ["x[..., 2:5]", "f32[B, T, 3]"], ["x[..., :-2]", "f32[B, T, 6]"], ["x[..., -3:]", "f32[B, T, 3]"], ["x[..., 5:100]", "f32[B, T, 3]"], ["x[..., -100:2]", "f32[B, T, 2]"],
  ["x[...]", "f32[B, T, 8]"], ["x[:]", "f32[B, T, 8]"], ["x[:, :, :]", "f32[B, T, 8]"], ["x[:, 0:]", "f32[B, T, 8]"], ["x[:, 0:T]", "f32[B, T, 8]"],
  ["h[..., 1, :]", "f32[B, T, 6]"], ["h[:, :, 0, 0]", "f32[B, T]"], ["h[:, :, 1:3, None, 2]", "f32[B, T, 2, 1]"], ["w[0]", "f32[5]"], ["w[None, 0]", "f32[1, 5]"], ["w[0, 1]", "f32[]"],
  ["w[1:3, ..., None]", "f32[2, 5, 1]"],
  // axes that are neither batch nor sequence
  ...FREE_AXES,
  // along the sequence
  ["x[:, 0]", "f32[B, 8]"], ["x[:, -1]", "f32[B, 8]"], ["x[:, T - 1]", "f32[B, 8]"], ["x[:, 0, 2]", "f32[B]"], ["x[:, 1:]", "f32[B, T2, 8]"], ["x[:, :-1, 0]", "f32[B, T2]"],
  ["x[:, T - 3:T]", "f32[B, T2, 8]"], ["x[:, ceil(T / 2):]", "f32[B, T2, 8]"], ["x[:, 1:] + x[:, 1:]", "f32[B, T2, 8]"], ["x[:, 1:][:, 1:]", "f32[B, T22, 8]"],
  // rows of a table
  ["table[tokens]", "f32[B, T, 8]"], ["table[signed]", "f32[B, T, 8]"], ["table[ids]", "f32[3, 8]"], ["b[tokens]", "f32[B, T]"], ["table[tokens, :]", "f32[B, T, 8]"],
  ["table[tokens[:, 0]]", "f32[B, 8]"], ["table[top(s, 2).index]", "f32[B, K, 8]"],
  // members of a route
  ["top(s, 2).mask", "bool[B, T]"], ["top(s, 2).index", "u32[B, K]"], ["top(s, 2).count", "u32[B]"], ["above(s, 0).mask", "bool[B, T]"],
];

export const HEADS: Setting = { inputs: "q: f32[B, T <= 64, 6, 8], k: f32[B, T, 2, 8], x: f32[B, T, 8], other: f32[B, S, 8], s: f32[B, T], half: f16[B, T, 8], image: f32[B, 9, 8]" };
export const Q = 'rearrange(q, "b t h d -> b h t d")';
export const K = 'rearrange(k, "b t h d -> b h t d")';
export const acceptedBuiltins: Accepted = [
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

export const R: Setting = { before: "r = top(s, ceil(T / 8))\nq = above(s, 0.0)\nrows = take(x, r)" };
export const LIVE: Setting = { params: "live capacity: ratio = 12.5%" };
export const acceptedRouting: Accepted = [
  ["top(s, 3)", "u32[B, K]"], ["top(s, 0)", "u32[B, K]"], ["top(s, ceil(12.5% * T))", "u32[B, K]"], ["top(s, T)", "u32[B, K]"], ["top(s, max(1, floor(T / 8)))", "u32[B, K]"],
  ["top(s, min(T, 16))", "u32[B, K]"], ["top(s, T - floor(T / 2))", "u32[B, K]"], ["top(s, ceil(capacity * T))", "u32[B, K]", LIVE], ["top(random_normal(like: s), 4)", "u32[B, K]"],
  ["above(s, 0.0)", "u32[B, K]"], ["above(s, s)", "u32[B, K]"], ["above(s, 0.5, expected: 12.5%)", "u32[B, K]"], ["above(s, mean(s))", "u32[B, K]"], ["above(s, capacity, expected: capacity)", "u32[B, K]", LIVE],
  ["take(x, r)", "f32[B, K, 8]", R], ["take(s, r)", "f32[B, K]", R], ["take(tokens, r)", "u32[B, K]", R], ["take(s > 0, r)", "bool[B, K]", R], ["take(h, r)", "f32[B, K, 4, 6]", R],
  ['take(rearrange(h, "b t h d -> b h t d"), r)', "f32[B, 4, K, 6]", R], ["take(x, r) + take(x, r)", "f32[B, K, 8]", R], ["take(x, r) * take(s, r)[..., None]", "f32[B, K, 8]", R],
  ["put(x, r, tanh(rows))", "f32[B, T, 8]", R], ["put(x, q, exp(take(x, q)))", "f32[B, T, 8]", R], ["put(s, r, tanh(take(s, r)))", "f32[B, T]", R], ["put(tokens, r, take(tokens, r) * take(tokens, r))", "u32[B, T]", R],
  ["take(rows, top(rows[..., 0], 2))", "f32[B, K3, 8]", R], ["put(rows, top(rows[..., 0], 2), take(rows, top(rows[..., 0], 2)))", "unordered-route", R],
  ["attention(rows, rows, rows, causal: true)", "f32[B, K, 8]", R], ["attention(x, rows, rows, causal: true)", "f32[B, T, 8]", R], ["attention(rows, x, x, causal: true, window: 4)", "f32[B, K, 8]", R],
  ["rope(rows, 10000.0)", "f32[B, K, 8]", R], ["position(rows)", "u32[B, K]", R], ["rows / T", "f32[B, K, 8]", R], ["concat([rows, x], axis: 1)", "f32[B, K3, 8]", R],
];
