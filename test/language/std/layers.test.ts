// The library's layers with their options, against accounts of published models in PyTorch, in 64 bits: alone, and as
// the inner block of a route that takes all tokens. Skipped, and saying so, if Python has no torch.
// @module-tag long
import { describe, expect, it } from "vitest";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { expectClose } from "../../close.js";
import { lowered } from "../../compiler/autodiff/models.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";

const [BATCH, TOKENS, DIM, HEADS] = [2, 9, 16, 2];

interface Answer {
  readonly output: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

const CASES: readonly { readonly block: string; readonly options: Readonly<Record<string, unknown>> }[] = [
  { block: "Attention", options: {} },
  { block: "Attention", options: { cap: 1.5 } },
  { block: "Attention", options: { sinks: true } },
  { block: "Attention", options: { cap: 2.5, sinks: true, rotate: 4, out_gate: true } },
  { block: "Layer", options: { norms: "behind" } },
  { block: "Layer", options: { norms: "both", factor: 0.25 } },
  { block: "Layer", options: { parallel: true } },
];

const written = (options: Readonly<Record<string, unknown>>): string =>
  Object.entries(options)
    .map(([name, value]) => `, ${name}: ${JSON.stringify(value)}`)
    .join("");

const source = (block: string, options: Readonly<Record<string, unknown>>, routed: boolean): string => `
import { Attention, Layer } from "std"
model M(dim: int = ${DIM}) {
  m: ${block}(dim, ${HEADS}${block === "Layer" ? ", hidden: 24" : ""}${written(options)})
  weight score: f32[dim]
  forward(x: f32[B, T <= 16, dim]) -> f32[B, T, dim] {
    ${routed ? "chosen = top(x @ score, T)\n    put(zeros(like: x), chosen, m(take(x, chosen)))" : "m(x)"}
  }
  objective(x: f32[B, T <= 16, dim]) {
    y = forward(x)
    loss all = mean(y * y + sin(y))
  }
}`;

describe.skipIf(!hasTorch)(`layers of the library${torchNote}`, () => {
  for (const { block, options } of CASES)
    it(`${block} with ${JSON.stringify(options)} is what the account computes`, async () => {
      const rng = random(7);
      const x = Array.from({ length: BATCH * TOKENS * DIM }, () => rng.normal());
      const { model } = lowered(source(block, options, false), { entry: "forward", phase: "infer" });
      const weights = new Map(
        model.weights.map(({ path, shape }) => {
          const length = shape.reduce((a, b) => a * b, 1);
          const data = Array.from({ length }, () => rng.normal() / Math.sqrt(shape.at(-1)!));
          return [path, { shape, data }] as const;
        }),
      );
      const own = [...weights].filter(([path]) => path.startsWith("m."));
      const [answer] = await askTorch<Answer>(new URL("layers.py", import.meta.url), [
        {
          block,
          options,
          heads: HEADS,
          weights: Object.fromEntries(own.map(([path, w]) => [path, [w.shape, w.data]])),
          x: [[BATCH, TOKENS, DIM], x],
        },
      ]);
      for (const routed of [false, true]) {
        const inputs = new Map([["x", { shape: [BATCH, TOKENS, DIM], data: x }]]);
        const forward = lowered(source(block, options, routed), { entry: "forward", phase: "infer" });
        const { outputs } = evaluate(forward.graph, { inputs, weights });
        expectClose([...outputs.get("output")!.data], answer!.output, () => 1e-9, "output");
        const trained = lowered(source(block, options, routed));
        const gradients = evaluate(withGradients(trained.graph, trained.model.weights), { inputs, weights }).outputs;
        for (const [path, expected] of Object.entries(answer!.gradients)) {
          expect(
            expected.some((g) => Math.abs(g) > 1e-6),
            path,
          ).toBe(true);
          expectClose([...gradients.get(`grad.${path}`)!.data], expected, () => 1e-9, path);
        }
      }
    });
});
