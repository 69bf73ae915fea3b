// A model with nothing skipped: every choice of tokens takes all of them, by the reference evaluator.
import { describe, expect, it } from "vitest";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { check } from "../../../src/language/check/check.js";
import { DENSE } from "../../../src/language/check/instances/overrides.js";
import { random } from "../../random.js";

const source = `import { Linear } from "std"
model M(dim: int = 3) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T <= 8, dim]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    best = top(score, 1)
    high = above(score, 1000.0)
    marked = those(score > 1000.0)
    rest = those(not best.mask)
    inner = top(take(score, best), 1)
    a = put(x, best, 10 * take(x, best))
    b = put(a, high, 100 * take(x, high))
    c = put(b, marked, 1000 * take(x, marked))
    d = put(c, rest, 10000 * take(x, rest))
    nested = put(take(x, best), inner, 4 * take(take(x, best), inner))
    put(d, best, nested)
  }
}
`;
const [B, T, D] = [2, 5, 3];
const rng = random(5);
const x = Float64Array.from({ length: B * T * D }, () => rng.normal());

/** The output with these router weights, and for each route the number of its tokens in each sequence. */
function run(set: Readonly<Record<string, string>>, router: readonly number[], phase: "infer" | "generate" = "infer") {
  const { model, diagnostics } = check({ file: "m.mod", text: source }, { phase, set, read: () => null });
  if (!model) return { diagnostics, output: [] };
  const weights = new Map([["router.weight", { shape: [1, D], data: Float64Array.from(router) }]]);
  const { outputs } = evaluate(lower(model), {
    inputs: new Map([["x", { shape: [B, T, D], data: x }]]),
    lengths: Uint32Array.of(T, 3),
    weights,
  });
  const { data } = outputs.get("output")!;
  return { diagnostics, output: [...data] };
}

/** Rows of tokens: the second sequence has three. */
const rows = Array.from({ length: B * T }, (_, i) => i).filter((i) => i < T + 3);

describe("a model with nothing skipped", () => {
  it.each([
    ["scores of any size", [0.3, -0.7, 0.2]],
    ["scores that are not numbers", [Number.NaN, 0, 0]],
    ["scores without a bound", [-Infinity, 0, 0]],
  ])("computes all tokens, with %s", (_, router) => {
    const { output } = run({ [DENSE]: "true" }, router);
    // x, and 10 + 100 + 1000 of it; nothing is left for the rest; the nested route adds 4 of 1 + 4.
    for (const row of rows)
      for (let d = 0; d < D; d++) expect(output[row * D + d]).toBeCloseTo(x[row * D + d]! * (1111 + 5), 9);
  });

  it("differs from the model itself, which has the rest and one best token", () => {
    const { output } = run({}, [0.3, -0.7, 0.2]);
    const factors = rows.map((row) => output[row * D]! / x[row * D]!);
    const near = (factor: number): number => factors.filter((f) => Math.abs(f - factor) < 1e-6).length;
    expect([near(1 + 10 + 5), near(1 + 10_000)]).toEqual([2, rows.length - 2]);
  });

  it("has a causal rule, though its choices of the best tokens have none", () => {
    expect(run({}, [1, 1, 1], "generate").diagnostics.map((d) => d.severity)).toContain("error");
    const { diagnostics, output } = run({ [DENSE]: "true" }, [0.3, -0.7, 0.2], "generate");
    expect(diagnostics.filter((d) => d.severity === "error")).toEqual([]);
    expect(output).toEqual(run({ [DENSE]: "true" }, [0.3, -0.7, 0.2]).output);
  });

  it("keeps choices among entries, such as experts", () => {
    const text = `import { GeluMLP, MoE } from "std"
model M() {
  moe: MoE([GeluMLP(4, 8), GeluMLP(4, 8), GeluMLP(4, 8)], 4, 1)
  forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { moe(x) }
}
`;
    const countsOf = (set: Readonly<Record<string, string>>): readonly string[] => {
      const { model, diagnostics } = check({ file: "m.mod", text }, { phase: "infer", set, read: () => null });
      expect(diagnostics).toEqual([]);
      return model!.axes.map((axis) =>
        JSON.stringify(axis, (_key, v: unknown) => (typeof v === "bigint" ? `${v}` : v)),
      );
    };
    expect(countsOf({ [DENSE]: "true" })).toEqual(countsOf({}));
  });

  it("takes no other value than true, and is no parameter that a model declares", () => {
    expect(run({ [DENSE]: "1" }, [1, 1, 1]).diagnostics[0]!.code).toBe("unknown-argument");
  });
});
