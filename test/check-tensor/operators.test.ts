// Operators on tensors: what each accepts, the type it gives, and what it refuses.
import { describe, expect, it } from "vitest";
import { operators, pointed, tell, type Setting } from "./harness.js";

const accepted: readonly (readonly [expr: string, type: string, setting?: Setting])[] = [
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

const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["x + w", "shape-mismatch", "+"], ["x * s", "shape-mismatch", "*"], ["x + other", "shape-mismatch", "+"], ["x + h", "shape-mismatch", "+"],
  ["x + half", "dtype-mismatch", "+"], ["s + tokens", "dtype-mismatch", "+"], ["tokens + signed", "dtype-mismatch", "+"], ["s == tokens", "dtype-mismatch", "=="],
  ["tokens / 2", "wrong-dtype", "/"], ["tokens ^ 2", "wrong-dtype", "^"], ["tokens ^ tokens", "wrong-dtype", "^"], ["(s > 0) + (s > 0)", "wrong-dtype", "+"],
  ["(s > 0) < (s > 1)", "wrong-dtype", "<"], ["s and s", "wrong-dtype", "and"], ["not s", "wrong-dtype", "not s"], ["-tokens", "wrong-dtype", "-tokens"],
  ["-(s > 0)", "wrong-dtype", "-(s > 0)"], ["tokens % 2", "unsupported-operator", "%"], ["5 % x", "unsupported-operator", "%"],
  ["tokens + 0.5", "number-does-not-fit", "+"], ["tokens - -1", "number-does-not-fit", "-"], ["half * 1e6", "number-does-not-fit", "*"], ["x * 1e39", "number-does-not-fit", "*"],
  ["(s > 0) == 1", "number-does-not-fit", "=="], ["tokens + 4294967296", "number-does-not-fit", "+"], ["tokens * (12.5% * T)", "number-does-not-fit", "*"],
  ['x + "a"', "wrong-operand", "+"], ["x + [1]", "wrong-operand", "+"], ["x + true", "wrong-operand", "+"],
  ["top(s, 2) + 1", "unsupported-operator", "+"], ["x * top(s, 2)", "unsupported-operator", "*"],
  ["w @ x", "shape-mismatch", "@"], ["x @ x", "shape-mismatch", "@"], ["x @ transpose(w)", "shape-mismatch", "@"], ["x @ 2", "wrong-operand", "@"], ["tokens @ tokens", "wrong-dtype", "@"],
  ["x @ half", "dtype-mismatch", "@"], ["sum(x) @ x", "wrong-rank", "@"], ["x @ (x @ transpose(other))", "shape-mismatch", "@"],
  ["flat @ x[:, :, :, None]", "batch-axis", "@"], ["flat @ (x[:, :, None, :])", "shape-mismatch", "@"],
  ["sum(x, axis: [1, 2]) @ sum(x, axis: [1, 2])", "batch-axis", "@"], ["sum(x, axis: [1, 2])[:, None] * sum(x, axis: [1, 2])", "batch-axis", "*"],
  ["wide[:, :, 0:1, None] * s[None]", "batch-axis", "s[None]"], ["b[:, None, None] * s", "batch-axis", "*"],
];

describe("operators on tensors", () => {
  it.each(accepted)("%s : %s", (expr, type, setting) => expect(tell(expr, setting).told).toBe(type));

  it.each(refused)("%s is refused: %s", (expr, code, points, setting) => {
    const outcome = tell(expr, setting);
    expect(outcome.told).toBe(code);
    expect(pointed(outcome)).toBe(points);
    expect(outcome.model).toBeNull();
  });

  it("spells both shapes out", () => {
    expect(tell("x + w").diagnostics[0]?.message).toBe("`+` cannot combine f32[B, T, 8] with f32[8, 5]: 8 and 5 differ");
    expect(tell("x * s").diagnostics[0]?.hint).toContain("[..., None]");
    expect(tell("x @ m[:, 0:5]").told).toBe("f32[B, T, 5]");
    expect(tell("s + tokens").diagnostics[0]?.hint).toContain("f32(…)");
  });

  it("reports a fault once, without cascades", () => {
    expect(tell("exp((x + w) * 2 + x) @ w").told).toBe("shape-mismatch");
  });

  it("multiplies out whole powers, and divides by them where they are negative", () => {
    expect(operators(tell("x ^ 3").model?.observes[0]?.value)).toEqual(["powi"]);
    expect(operators(tell("x ^ -2").model?.observes[0]?.value)).toEqual(["number", "powi", "div"]);
    expect(operators(tell("x ^ 0.5").model?.observes[0]?.value)).toEqual(["number", "pow"]);
  });

  it("shapes a sequence's length to stand beside the other operand", () => {
    const length = tell("x / T").model?.observes[0]?.value.inputs[1];
    expect(length?.op).toBe("length");
    expect(length?.type.shape.map((s) => (typeof s === "number" ? s : s.key))).toEqual(["B", 1, 1]);
    expect(tell("x * B").model?.observes[0]?.value.inputs[1]?.type.shape).toEqual([]);
  });
});
