// Routing written out by hand compiles to the kernels of the library's MoD: rules look at operators, not at names.
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, PORTABLE, type Target } from "../../../src/runtime/program/target.js";
import { compiled } from "../../end-to-end/model.js";

const model = (inner: string, by: string): string => `
model M(dim: int = 64, heads: int = 4) {
  a: ${by}(${inner}, dim, 12.5%)
  b: ${by}(${inner}, dim, 12.5%)
  forward(x: f32[B, T <= 256, dim]) -> f32[B, T, dim] { b(a(x)) }
}`;

/** A block as MoD is, its weight and the lines of its forward pass by hand. */
const written = (
  inner: string,
  weight: string,
  score: string,
  rest: string,
): string => `import { Layer, SwiGLU } from "std"
block Routed(inner: block, dim: int, capacity: ratio) {
  weight w: f32[${weight}]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = ${score}
    chosen = top(score, ceil(capacity * T))
    observe chosen
    ${rest}
  }
}
${model(inner, "Routed")}`;

const LAYER = "Layer(dim, heads)";
const library = (inner: string): string => `import { Layer, MoD, SwiGLU } from "std"\n${model(inner, "MoD")}`;
const PUT = "put(x, chosen, inner(take(x, chosen)) * take(score, chosen)[..., None])";

const MESA: Target = { device: "mesa-software", subgroups: [8, 8], f16: true, limits: DEFAULT_LIMITS };
const kernelsOf = (source: string, target: Target): unknown => {
  const { kernels, steps } = compiled(source, { target }).program;
  return [kernels.map((k) => k.wgsl), steps.map((s) => (s.kind === "dispatch" ? kernels[s.kernel]!.name : s.kind))];
};

describe.each([
  ["Mesa's device", MESA],
  ["any device", PORTABLE],
] as const)("for %s", (_name, target) => {
  it.each([
    ["a row of weights, turned", "1, dim", "(x @ transpose(w))[..., 0]", PUT],
    ["a column of weights", "dim, 1", "(x @ w)[..., 0]", PUT],
    ["a vector", "dim", "x @ w", PUT],
    ["a sum of products", "dim", "sum(x * w, axis: -1)", PUT],
    ["a sum that keeps its axis", "dim", `rearrange(sum(x * w, axis: -1, keep: true), "b t 1 -> b t")`, PUT],
    [
      "rows that are named first",
      "dim",
      "x @ w",
      `rows = take(x, chosen)\n    gate = take(score[..., None], chosen)\n    put(x, chosen, inner(rows) * gate)`,
    ],
  ])("a layer routed by %s", (_what, weight, score, rest) => {
    expect(kernelsOf(written(LAYER, weight, score, rest), target)).toEqual(kernelsOf(library(LAYER), target));
  });

  it.each([
    ["masked by its choice", "x + inner(x) * score[..., None] * f32(chosen.mask)[..., None]"],
    ["kept where it is not chosen", "where(chosen.mask[..., None], x + inner(x) * score[..., None], x)"],
  ])("a network on each token, %s", (_what, rest) => {
    const mlp = "SwiGLU(dim, 4 * dim)";
    expect(kernelsOf(written(mlp, "dim", "x @ w", rest), target)).toEqual(kernelsOf(library(mlp), target));
  });
});
