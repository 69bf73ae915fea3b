// Operators on tensors: accepted operands, result types, and refused operands.
import { describe, expect, it } from "vitest";
import { acceptedOperators } from "./accepted.js";
import { operators, pointed, tell, type Setting } from "./harness.js";

const refused: readonly (readonly [expr: string, code: string, points: string, setting?: Setting])[] = [
  ["x + w", "shape-mismatch", "+"],
  ["x * s", "shape-mismatch", "*"],
  ["x + other", "shape-mismatch", "+"],
  ["x + h", "shape-mismatch", "+"],
  ["x + half", "dtype-mismatch", "+"],
  ["s + tokens", "dtype-mismatch", "+"],
  ["tokens + signed", "dtype-mismatch", "+"],
  ["s == tokens", "dtype-mismatch", "=="],
  ["tokens / 2", "wrong-dtype", "/"],
  ["tokens ^ 2", "wrong-dtype", "^"],
  ["tokens ^ tokens", "wrong-dtype", "^"],
  ["(s > 0) + (s > 0)", "wrong-dtype", "+"],
  ["(s > 0) < (s > 1)", "wrong-dtype", "<"],
  ["s and s", "wrong-dtype", "and"],
  ["not s", "wrong-dtype", "not s"],
  ["-tokens", "wrong-dtype", "-tokens"],
  ["-(s > 0)", "wrong-dtype", "-(s > 0)"],
  ["tokens % 2", "unsupported-operator", "%"],
  ["5 % x", "unsupported-operator", "%"],
  ["tokens + 0.5", "number-does-not-fit", "+"],
  ["tokens - -1", "number-does-not-fit", "-"],
  ["half * 1e6", "number-does-not-fit", "*"],
  ["x * 1e39", "number-does-not-fit", "*"],
  ["(s > 0) == 1", "number-does-not-fit", "=="],
  ["tokens + 4294967296", "number-does-not-fit", "+"],
  ["tokens * (12.5% * T)", "number-does-not-fit", "*"],
  ['x + "a"', "wrong-operand", "+"],
  ["x + [1]", "wrong-operand", "+"],
  ["x + true", "wrong-operand", "+"],
  ["top(s, 2) + 1", "unsupported-operator", "+"],
  ["x * top(s, 2)", "unsupported-operator", "*"],
  ["w @ x", "shape-mismatch", "@"],
  ["x @ x", "shape-mismatch", "@"],
  ["x @ transpose(w)", "shape-mismatch", "@"],
  ["x @ 2", "wrong-operand", "@"],
  ["tokens @ tokens", "wrong-dtype", "@"],
  ["x @ half", "dtype-mismatch", "@"],
  ["sum(x) @ x", "wrong-rank", "@"],
  ["x @ (x @ transpose(other))", "shape-mismatch", "@"],
  ["flat @ x[:, :, :, None]", "batch-axis", "@"],
  ["flat @ (x[:, :, None, :])", "shape-mismatch", "@"],
  ["sum(x, axis: [1, 2]) @ sum(x, axis: [1, 2])", "batch-axis", "@"],
  ["sum(x, axis: [1, 2])[:, None] * sum(x, axis: [1, 2])", "batch-axis", "*"],
  ["wide[:, :, 0:1, None] * s[None]", "batch-axis", "s[None]"],
  ["b[:, None, None] * s", "batch-axis", "*"],
];

describe("operators on tensors", () => {
  for (const [expr, type, setting] of acceptedOperators)
    it(`${expr} : ${type}`, () => expect(tell(expr, setting).told).toBe(type));

  for (const [expr, code, points, setting] of refused)
    it(`${expr} is refused: ${code}`, () => {
      const outcome = tell(expr, setting);
      expect(outcome.told).toBe(code);
      expect(pointed(outcome)).toBe(points);
      expect(outcome.model).toBeNull();
    });

  it("spells both shapes out", () => {
    expect(tell("x + w").diagnostics[0]?.message).toBe(
      "`+` cannot combine f32[B, T, 8] with f32[8, 5]: 8 and 5 differ",
    );
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
