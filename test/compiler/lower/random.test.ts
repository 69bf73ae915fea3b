// Random programs, lowered and optimized, are sound, finite and mean what plain loops compute.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import type { Model, Phase } from "../../../src/language/check/model/model.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { rational, type Rational } from "../../../src/ground/numerics/rational.js";
import { randomModel, type RandomModel } from "../../random-models.js";
import { feed, largestDifference } from "./run-case.js";
import { cases, seedOf } from "../../soak.js";

const modelOf = ({ source }: RandomModel, phase: Phase): Model => {
  const { model, diagnostics, sources } = check(
    { file: "random.mod", text: source },
    { phase, read: () => null, entry: phase === "train" ? "objective" : "forward" },
  );
  if (!model) throw new Error(`${formatDiagnostics(diagnostics, { sources })}\n${source}`);
  return model;
};
const phases = ({ causal }: RandomModel): readonly Phase[] =>
  causal ? ["infer", "train", "generate"] : ["infer", "train"];
const usesRandom = ({ source }: RandomModel): boolean => source.includes("random_uniform");
const liveOf = ({ live }: RandomModel): ReadonlyMap<string, Rational> =>
  new Map(live.map(({ name, value }) => [name, rational(Number.parseInt(value, 10), 100)]));
const options = { seed: seedOf(20240402), numRuns: cases(40) };

describe("random programs", () => {
  it("are accepted, lowered to sound graphs, and evaluate to finite numbers", { tags: "long" }, () => {
    fc.assert(
      fc.property(randomModel, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 12 }), (random, B, tokens) => {
        const T = Math.min(tokens, random.context);
        for (const phase of phases(random)) {
          const model = modelOf(random, phase);
          const below = (name: string): number => random.inputs.find((i) => i.name === name)?.below ?? 2;
          const fed = feed(
            model,
            new Map([
              ["B", B],
              ["T", T],
            ]),
            B * 100 + T,
            below,
          );
          const lengths = Array.from({ length: B }, (_, b) => (b === 0 ? T : (T * b) % (T + 1)));
          const { outputs } = evaluate(optimize(lower(model), { verify: true }), {
            ...fed,
            lengths,
            live: liveOf(random),
          });
          for (const [name, { data }] of outputs)
            expect(data.every(Number.isFinite), `${phase} ${name}\n${random.source}`).toBe(true);
        }
      }),
      options,
    );
  });

  it("mean what plain loops over each sequence compute, optimized or not", () => {
    // Choices at near-ties may differ between two orders of summation; these programs have no near-ties.
    fc.assert(
      fc.property(
        randomModel.filter((r) => !usesRandom(r)),
        (random) => {
          for (const phase of random.causal ? (["infer", "generate"] as const) : (["infer"] as const)) {
            const model = modelOf(random, phase);
            const T = Math.min(7, random.context);
            expect(
              largestDifference(
                model,
                new Map([
                  ["B", 4],
                  ["T", T],
                ]),
                [T, 0, 1, T - 2],
                9,
                { below: () => 3, live: liveOf(random) },
              ),
              random.source,
            ).toBeLessThan(1e-8);
          }
        },
      ),
      options,
    );
  });
});
