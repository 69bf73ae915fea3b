// Random valid programs with f16 in memory: their results are near the reference's results for the same choices.
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../src/compiler/reference/evaluate.js";
import { roundToF16 } from "../../src/ground/base/f16.js";
import { testDevice } from "../device.js";
import { randomModel } from "../random-models.js";
import { random } from "../random.js";
import { cases, patience, seedOf } from "../soak.js";
import {
  choicesOf,
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Weights,
} from "./model.js";

/**
 * Values are of order 1 to 10 after a few layers; a wrong row, word or half of a word is off by the size of the values.
 */
const TOLERANCE = 0.1;
/** Where f16 may become infinite, or lose what is small. */
const LARGEST = 1e3;

const compared = { cases: 0, of: 0 };
afterAll(() =>
  expect(compared.cases, `${compared.cases} of ${compared.of} cases could be compared`).toBeGreaterThan(
    compared.of / 2,
  ),
);

/**
 * Weights off by one f16 rounding, choices held: where that moves a result by a tenth of the tolerance, f16 cannot be
 * judged.
 */
function comparable(graph: Graph, weights: Weights, given: Case, wanted: Evaluation): boolean {
  const rng = random(1);
  const nudged = new Map(
    [...weights].map(([path, w]) => [
      path,
      { shape: w.shape, data: w.data.map((v) => v * (1 + 2 ** -11 * rng.normal())) },
    ]),
  );
  const moved = reference(graph, nudged, given, new Map([...wanted.routes].map(([axis, r]) => [axis, r.used])));
  return graph.outputs.every(({ name, role }) => {
    const { data } = wanted.outputs.get(name)!;
    return (
      role === "observe" ||
      (furthest(moved.outputs.get(name)!.data, data, TOLERANCE, TOLERANCE).ratio < 0.1 &&
        data.every((v) => Math.abs(v) < LARGEST))
    );
  });
}

it("each of many random programs stays near the reference", { timeout: patience(300_000) }, async () => {
  const device = await testDevice();
  await fc.assert(
    fc.asyncProperty(
      randomModel,
      fc.constantFrom("infer", "train" as const),
      fc.integer({ min: 1, max: 1e6 }),
      async (model, phase, seed) => {
        const { program, graph } = compiled(model.source, {
          phase,
          target: device.target,
          precision: { activations: "f16" },
        });
        const weights = new Map(
          [...randomWeights(program, seed, 0.5)].map(([path, w]) => [
            path,
            { ...w, data: w.data.map((v) => roundToF16(v)) },
          ]),
        );
        const session = await sessionOf(program, device, weights, { B: 1, T: 4 });
        const rng = random(seed);
        for (const [B, most] of [
          [1, 1],
          [3, 7],
        ] as const) {
          const T = Math.min(most, model.context);
          const names = new Set(graph.inputs.map((i) => i.name));
          const inputs: Record<string, Case["inputs"][string]> = {};
          for (const i of model.inputs.filter((m) => names.has(m.name))) {
            const shape = i.shape.map((s) => (s === "B" ? B : s === "T" ? T : Number(s)));
            inputs[i.name] =
              i.dtype === "u32"
                ? randomTokens(shape, i.below ?? 1000, rng.below(1e6))
                : randomInput(shape, rng.below(1e6));
          }
          const live = Object.fromEntries(model.live.map((l) => [l.name, l.value]));
          const given: Case = { inputs, seed, live, ...(B > 1 ? { lengths: randomLengths(B, T, seed) } : {}) };
          const results = await onDevice(session, given);
          const own = reference(graph, weights, given);
          const wanted =
            own.routes.size > 0 ? reference(graph, weights, given, choicesOf(graph, own, results, given)) : own;
          compared.of++;
          if (!comparable(graph, weights, given, wanted)) continue;
          compared.cases++;
          for (const { name, role } of graph.outputs) {
            if (role === "observe" || results[name]!.dtype !== "f32") continue;
            const { ratio, text } = furthest(results[name]!.data, wanted.outputs.get(name)!.data, TOLERANCE, TOLERANCE);
            expect(ratio, `${name} ${text}\n${model.source}`).toBeLessThan(1);
          }
        }
        session.dispose();
      },
    ),
    { numRuns: cases(8), seed: seedOf(20240405), endOnFailure: true },
  );
});
