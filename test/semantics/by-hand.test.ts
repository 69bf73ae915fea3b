// Routing written out in primitive operators compiles to what the library's block compiles to: passes look at
// operators, not at names.
import { describe, expect, it } from "vitest";
import type { Program } from "../../src/runtime/program/program.js";
import { compiled } from "../end-to-end/model.js";
import { testDevice } from "../device.js";

/** A block that routes by hand: its score, and the body that uses the route r. */
const byHand = (inner: string, score: string, body: string): string => `
import { Layer, Linear, Predictor, SwiGLU } from "std"
block Hand(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  guess:  Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    s = ${score}
    r = top(s, ceil(12.5% * T))
    ${body}
  }
}
model ByHand(dim: int = 32) {
  layer: Hand(${inner}, dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x) }
}
`;

const byLibrary = (inner: string): string => `
import { Layer, MoD, SwiGLU } from "std"
model ByLibrary(dim: int = 32) {
  layer: MoD(${inner}, dim)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x) }
}
`;

const LAYER = "Layer(dim, 2)";
/** Works on each token alone, so that computing it for all tokens and masking is the same model. */
const NETWORK = "SwiGLU(dim, 4 * dim)";
const SCORE = "router(x)[..., 0]";
const BODY = "put(x, r, inner(take(x, r)) * take(s, r)[..., None])";

const ways: readonly (readonly [name: string, inner: string, score: string, body: string])[] = [
  ["the score a product", LAYER, "(x @ transpose(router.weight))[..., 0]", BODY],
  ["the score a sum", LAYER, "sum(x * router.weight[0], axis: -1)", BODY],
  ["the gate gathered with its channel", LAYER, SCORE, "put(x, r, inner(take(x, r)) * take(s[..., None], r))"],
  ["the update masked", NETWORK, SCORE, "x + f32(r.mask)[..., None] * (inner(x) * s[..., None])"],
  ["the update chosen by the mask", NETWORK, SCORE, "x + where(r.mask[..., None], inner(x) * s[..., None], 0.0)"],
  ["the stream chosen by the mask", NETWORK, SCORE, "where(r.mask[..., None], x + inner(x) * s[..., None], x)"],
  [
    "what is not chosen chosen by the mask",
    NETWORK,
    SCORE,
    "where(not r.mask[..., None], x, x + inner(x) * s[..., None])",
  ],
];

/** What runs, in order: each kernel's text, uniforms and workgroups. Names say where a step comes from. */
const running = ({ steps, kernels }: Program): readonly unknown[] =>
  steps.map((step) =>
    step.kind === "dispatch"
      ? { wgsl: kernels[step.kernel]!.wgsl, uniforms: step.uniforms, workgroups: step.workgroups }
      : step.kind,
  );

describe("routing by hand runs the kernels of MoD", () => {
  it.each(ways)("with %s", async (_name, inner, score, body) => {
    const { target } = await testDevice();
    for (const options of [{}, { target }]) {
      const library = compiled(byLibrary(inner), options).program;
      expect(library.steps.length).toBeGreaterThan(3);
      expect(running(compiled(byHand(inner, score, body), options).program)).toEqual(running(library));
    }
  });
});
