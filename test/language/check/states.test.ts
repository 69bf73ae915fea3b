// States and their updates in the checker: their types, the phases in which they count, and their entries in the model.
import { describe, expect, it } from "vitest";
import { reachable, rootsOf } from "../../../src/language/check/model/model-values.js";
import { checked, codesOf, modelOf, told } from "./harness.js";

/** A model with a state `level: f32[4]` whose forward is this body, and an objective that calls it. */
const source = (body: string, members = "state level: f32[4] = ones"): string => `
block Inner() {
  weight w: f32[4]
  ${members}
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    ${body}
  }
}
model M() {
  inner: Inner()
  names { "inner.level" = "moving.level" }
  forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { inner(x) }
  objective(x: f32[B, T <= 8, 4]) { loss l = mean(forward(x) ^ 2) }
}`;
const train = { phase: "train" } as const;
const SIMPLE = source("update level = 0.5 * level + mean(x, axis: [0, 1]); x * w / level");

describe("a state", () => {
  it("is listed with the weights, under its path and its key, and starts as it says, or as zeros", () => {
    const { weights } = modelOf(SIMPLE);
    expect(weights.map(({ kind, path, keys, init }) => [kind, path, keys, init.kind])).toEqual([
      ["weight", "inner.w", ["inner.w"], "zeros"],
      ["state", "inner.level", ["moving.level"], "ones"],
    ]);
    const matrix = modelOf(source("x * w + level[0]", "state level: f32[2, 4]"));
    expect(matrix.weights.at(-1)?.init).toEqual({ kind: "zeros" });
  });

  it("is a name like any other elsewhere, and so is `update`", () => {
    const text = `model M() {
      state state: f32[4]
      weight update: f32[4]
      forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
        update = update + state
        update state = state * 0.5
        x * update
      }
    }`;
    expect(codesOf(text)).toEqual([]);
  });

  it("exists only in the branch that is taken, and may be read by its owner", () => {
    const text = (on: boolean): string => `
      block Inner() {
        if ${on} { state level: f32[4] }
        forward(x: f32[B, T, 4]) -> f32[B, T, 4] { if ${on} { update level = level + 1.0 }; x }
      }
      model M() {
        inner: Inner()
        forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { inner(x) ${on ? "+ inner.level" : ""} }
        objective(x: f32[B, T <= 8, 4]) { loss l = mean(forward(x)) }
      }`;
    expect(modelOf(text(true), train).updates.map((u) => u.path)).toEqual(["inner.level"]);
    expect(modelOf(text(false), train)).toMatchObject({ weights: [], updates: [] });
  });

  it("is of f32, and warned of where nothing mentions it", () => {
    expect(codesOf(source("x * w", "state level: u32[4]"))).toContain("weight-type");
    expect(checked(source("x * w")).diagnostics.map((d) => d.code)).toEqual(["unread-weight"]);
    expect(checked(source("update level = 2.0 * w; x * w")).diagnostics).toEqual([]);
  });

  it("cannot be a size or a condition", () => {
    expect(told(source("x * w", "state level: f32[4]\n  weight v: f32[level]"))).toContain("the state `level`");
  });
});

describe("an update", () => {
  it("counts in train where the objective reaches it, and nowhere else", () => {
    const updates = (options: Parameters<typeof modelOf>[1]): readonly string[] =>
      modelOf(SIMPLE, options).updates.map((u) => u.path);
    expect(updates(train)).toEqual(["inner.level"]);
    expect(updates({ phase: "train", entry: "forward" })).toEqual([]);
    expect(updates({ phase: "infer" })).toEqual([]);
    expect(updates({ phase: "infer", entry: "objective" })).toEqual([]);
    expect(updates({ phase: "generate" })).toEqual([]);
    expect(updates({ phase: "generate", entry: "objective" })).toEqual([]);
  });

  it("leaves nothing behind where it is dropped", () => {
    const ops = (options: Parameters<typeof modelOf>[1]): readonly string[] =>
      reachable(rootsOf(modelOf(SIMPLE, options))).map((v) => v.op);
    expect(ops({ phase: "infer" })).not.toContain("reduce");
    expect(ops(train).filter((op) => op === "reduce")).toHaveLength(2);
  });

  it("is checked in every phase", () => {
    const wrong = source("update level = x; x * w");
    for (const phase of ["infer", "train", "generate"] as const)
      expect(codesOf(wrong, { phase })).toEqual(["shape-mismatch"]);
    expect(told(wrong)).toContain("`update level` cannot combine f32[4] with f32[B, T, 4]: a state keeps its type");
    expect(codesOf(source("update level = level > 0.0; x * w"))).toEqual(["shape-mismatch"]);
    expect(codesOf(source("update level = 1.0; x * w"))).toEqual(["shape-mismatch"]);
    expect(codesOf(source("update level = true; x * w"))).toEqual(["wrong-operand"]);
    expect(codesOf(source("update level = 0.5; x * w", "state level: f32[]"))).toEqual([]);
  });

  it("of a shared instance is one too many, of two instances is not", () => {
    const twice = (calls: string): string => SIMPLE.replace("{ inner(x) }", `{ ${calls} }`);
    expect(codesOf(twice("inner(inner(x))"), train)).toEqual(["state-set-twice"]);
    expect(told(twice("inner(inner(x))"), train)).toContain("in `inner#0` and in `inner#1`");
    expect(codesOf(twice("inner(inner(x))"))).toEqual([]);
    const two = twice("other(inner(x))").replace("inner: Inner()", "inner: Inner()\n  other: Inner()");
    expect(modelOf(two, train).updates.map((u) => u.path)).toEqual(["inner.level", "other.level"]);
  });

  it("is given a name of its own where an observed value has it", () => {
    const text = `
      block Seen() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { level = x; observe level; level } }
      model M() {
        state: Seen()
        state level: f32[]
        forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { update level = mean(x); state(x) }
        objective(x: f32[B, T <= 8, 4]) { loss l = mean(forward(x)) }
      }`;
    const model = modelOf(text, train);
    expect([...model.updates, ...model.observes].map((u) => u.path)).toEqual(["level", "state.level#1"]);
  });

  it("leaves names of gradients to these: a value observed in a block `grad` is numbered", () => {
    const text = `
      block Seen() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { w = x; observe w; other = x; observe other; w + other } }
      model M() {
        grad: Seen()
        weight w: f32[4]
        forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { grad(x * w) }
        objective(x: f32[B, T <= 8, 4]) { loss l = mean(forward(x)) }
      }`;
    expect(modelOf(text, train).observes.map((u) => u.path)).toEqual(["grad.w#1", "grad.other"]);
  });

  const passes: readonly (readonly [string, readonly string[]])[] = [
    ["sum(x)", []],
    ["mean(x) + max(x) - min(x)", []],
    ["mean(x ^ 2) - mean(x) ^ 2", []],
    ["mean(x - mean(x, axis: 1, keep: true))", []],
    ["mean(var(x, axis: -1))", []],
    ["sum(mean(x[..., 0], axis: 1)) / B", []],
    ["mean(x) / (2 * B)", []],
    ["0.5 * sum(w) + mean(w)", []],
    ["var(x)", ["two-pass-update"]],
    ["sum(abs(x - mean(x)))", ["two-pass-update"]],
    ["max(x / B)", ["two-pass-update"]],
    ["sum(x) / (B + 1)", ["two-pass-update"]],
    ["sum(x) / (B * B)", ["two-pass-update"]],
    ["sum(x) / floor(B / 2)", ["two-pass-update"]],
    ["mean(bce(x[..., 0], x[..., 1] > mean(x)))", ["two-pass-update"]],
    ["var(w)", []],
  ];
  for (const [e, codes] of passes)
    it(`${codes.length === 0 ? "takes one pass" : "would take two passes"} over ${e}`, () => {
      const text = source(`update level = ${e}; x * w`, "state level: f32[]");
      expect(codesOf(text, train)).toEqual(codes);
      expect(codesOf(text)).toEqual([]);
    });
});
