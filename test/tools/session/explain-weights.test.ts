// Weights of a model under other parameters: which parameters those were is found from the shapes of the tensors alone.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { explainWeights, explanation, type ModelRequest } from "../../../src/models/opened/explain-weights.js";

const MOBY = readFileSync("examples/moby.mod", "utf8");
const asked = (text: string, set: Readonly<Record<string, string>> = {}): ModelRequest => ({
  source: { file: "m.mod", text },
  read: () => null,
  set,
});

/** The tensors of a checkpoint for this model and these parameters. */
function tensorsOf(
  text: string,
  set: Readonly<Record<string, string>>,
): Map<string, { dtype: string; shape: readonly number[] }> {
  const { model } = check({ file: "m.mod", text }, { phase: "infer", set, read: () => null });
  return new Map(model!.weights.map((w) => [w.keys[0]!, { dtype: "F32", shape: w.shape }]));
}
const said = (
  text: string,
  set: Readonly<Record<string, string>>,
  has: Readonly<Record<string, string>> = {},
): string | null => {
  const found = explainWeights(asked(text, has), tensorsOf(text, set));
  return found && explanation(found).text;
};

describe("weights that do not fit are explained", () => {
  it.each([
    [{ dim: "256" }, "dim: 256 (the model has 128)"],
    [{ depth: "1" }, "depth: 1 (the model has 6)"],
    [{ vocab: "50257" }, "vocab: 50257 (the model has 256)"],
    [
      { dim: "64", depth: "4", vocab: "300" },
      "dim: 64 (the model has 128) and vocab: 300 (the model has 256) and depth: 4 (the model has 6)",
    ],
  ])("%j", (set, text) => {
    const found = said(MOBY, set);
    const parts = (sentence: string): readonly string[] => sentence.split(" and ").toSorted();
    expect(found?.startsWith("every mismatch would fit with ")).toBe(true);
    expect(parts(found!.replace("every mismatch would fit with ", ""))).toEqual(parts(text));
  });

  it("by what is multiplied, divided, added or left out", () => {
    const model = `model M(dim: int = 12, groups: int = 3, extra: int = 2, bias: bool = false) {
      weight a: f32[dim, dim / groups]
      weight b: f32[2 * dim + extra]
      if bias { weight c: f32[dim] }
      forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x }
    }`;
    expect(said(model, { groups: "4" })).toBe("every mismatch would fit with groups: 4 (the model has 3)");
    expect(said(model, { extra: "7" })).toBe("every mismatch would fit with extra: 7 (the model has 2)");
    expect(said(model, { bias: "true" })).toBe("every mismatch would fit with bias: true (the model has false)");
    expect(said(model, {}, { dim: "24" })).toBe("every mismatch would fit with dim: 12 (the model has 24)");
  });

  it("and where nothing explains them, nothing is said", () => {
    const other = tensorsOf(MOBY, {});
    other.set("more", { dtype: "F32", shape: [3] });
    expect(explainWeights(asked(MOBY), other)).toBeNull();
    expect(explainWeights(asked(MOBY), tensorsOf(MOBY, {}))).toBeNull();
    expect(explainWeights(asked("model M() {"), other)).toBeNull();
  });
});
