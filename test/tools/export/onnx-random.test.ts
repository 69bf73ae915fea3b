// Random programs in ONNX: the runtime's results equal the reference's. Skipped, and saying so, where Python has no
// onnx.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { ExportError } from "../../../src/tools/export/refused.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../../src/compiler/reference/evaluate.js";
import {
  furthest,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  reference,
  type Case,
  type Weights,
} from "../../end-to-end/model.js";
import { SCORE_ERROR } from "../../end-to-end/agree.js";
import { comparable, TOLERANCE } from "../../end-to-end/comparable.js";
import { optimized } from "../../optimized.js";
import { askOnnx, hasOnnx, onnxNote } from "../../onnxruntime.js";
import { randomModel } from "../../random-models.js";
import { random } from "../../random.js";
import { cases, patience, seedOf } from "../../soak.js";
import { givenTo, modelOf, written } from "./onnx-files.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);

interface Answer {
  readonly generated: { readonly logits: readonly (readonly number[])[] };
  readonly domains: readonly string[];
  readonly runs: readonly Readonly<Record<string, { readonly data: readonly (number | string)[] }>>[];
}

const root = mkdtempSync(join(tmpdir(), "modc-onnx-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Whether f32 can be judged: no choice hangs on its rounding, nor does a result on one of the weights. */
const judged = (graph: Graph, weights: Weights, given: Case, wanted: Evaluation): boolean =>
  ![...wanted.routes].some(([, { margins }]) => margins.some((m) => m < SCORE_ERROR)) &&
  comparable(graph, weights, given, wanted);

describe.skipIf(!hasOnnx)(`random programs in ONNX${onnxNote}`, () => {
  it("agree with the reference, with lengths and without", { timeout: patience(120_000) }, async () => {
    const seen = { compared: 0, refused: 0, beyond: 0 };
    await fc.assert(
      fc.asyncProperty(
        randomModel,
        fc.constantFrom("infer", "generate", "objective" as const),
        fc.integer({ min: 1, max: 1e6 }),
        async (program, wish, seed) => {
          const phase = wish === "generate" && program.causal ? wish : "infer";
          const entry = wish === "objective" ? wish : "forward";
          const weights = randomWeights(modelOf(program.source, { phase, entry }), seed, 0.5);
          const { graph, model } = optimized(program.source, { phase, entry });
          const path = join(root, "program.onnx");
          try {
            written(path, model, weights, { observe: true, lengths: true });
          } catch (error) {
            if (!(error instanceof ExportError)) throw error;
            expect(error.message).toMatch(/a random value/);
            seen.refused++;
            return;
          }
          const rng = random(seed);
          const runs = [
            [1, 1],
            [3, 7],
            [2, 19],
          ].map(([B, most]): Case => {
            const T = Math.min(most!, program.context);
            const inputs = Object.fromEntries(
              model.inputs.map(({ name, type }) => {
                const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? B! : T));
                const { below } = program.inputs.find((i) => i.name === name)!;
                const values = below === null ? randomInput(shape, rng.below(1e6)) : randomTokens(shape, below, seed);
                return [name, values];
              }),
            );
            return { inputs, lengths: B === 1 ? Uint32Array.of(T) : randomLengths(B!, T, seed) };
          });
          const given = runs.map(({ inputs, lengths }) => givenTo(inputs, Array.from(lengths!)));
          const [answer] = await askOnnx<Answer>(SCRIPT, [{ path, runs: given }]);
          expect(answer!.domains).toEqual([""]);
          for (const [i, run] of runs.entries()) {
            const wanted = reference(graph, weights, run);
            if (!judged(graph, weights, run, wanted)) {
              seen.beyond++;
              continue;
            }
            for (const [name, { data }] of Object.entries(answer!.runs[i]!)) {
              const of = wanted.outputs.get(name)!;
              const { ratio, text } = furthest(data.map(Number), of.data, TOLERANCE.atol, TOLERANCE.rtol);
              expect(ratio, `${name} ${text}\n${program.source}`).toBeLessThan(1);
            }
            seen.compared++;
          }
        },
      ),
      { numRuns: cases(16), seed: seedOf(20261128), endOnFailure: true },
    );
    expect(seen.compared, JSON.stringify(seen)).toBeGreaterThan(cases(16));
  });

  it("go on from a prompt as the causal rule does without caches", { timeout: patience(120_000) }, async () => {
    const seen = { compared: 0, refused: 0, beyond: 0 };
    await fc.assert(
      fc.asyncProperty(
        randomModel.filter(({ causal, context, inputs: [tokens] }) => causal && context > 4 && tokens!.below !== null),
        fc.integer({ min: 1, max: 1e6 }),
        async (program, seed) => {
          const { graph, model } = optimized(program.source, { phase: "generate" });
          const weights = randomWeights(model, seed, 0.5);
          const path = join(root, "generation.onnx");
          const below = program.inputs[0]!.below!;
          try {
            written(path, model, weights, { caches: true });
          } catch (error) {
            if (!(error instanceof ExportError)) throw error;
            expect(error.message).toMatch(/a random value|the index of a route chosen within another/);
            seen.refused++;
            return;
          }
          const [B, T] = [2, program.context];
          const tokens = randomTokens([B, T], below, seed);
          const prompt = 1 + (seed % 4);
          const steps = [prompt, ...Array.from({ length: T - prompt }, () => 1)];
          const generate = { batch: B, tokens: Array.from(tokens.data), steps, input: "tokens", output: "logits" };
          const [answer] = await askOnnx<Answer>(SCRIPT, [{ path, generate }]);
          const wanted = reference(graph, weights, { inputs: { tokens } });
          if (!judged(graph, weights, { inputs: { tokens } }, wanted)) {
            seen.beyond++;
            return;
          }
          const { data, shape } = wanted.outputs.get("logits")!;
          const V = shape[2]!;
          answer!.generated.logits.forEach((own, i) => {
            const rows = [0, 1].flatMap((b) => {
              const at = (b * T + prompt - 1 + i) * V;
              return Array.from(data.slice(at, at + V));
            });
            const { ratio, text } = furthest(own, rows, TOLERANCE.atol, TOLERANCE.rtol);
            expect(ratio, `step ${i} ${text}\n${program.source}`).toBeLessThan(1);
          });
          seen.compared++;
        },
      ),
      { numRuns: cases(16), seed: seedOf(20261129), endOnFailure: true },
    );
    expect(seen.compared, JSON.stringify(seen)).toBeGreaterThan(cases(6));
  });
});
