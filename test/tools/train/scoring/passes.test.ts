// Scores of texts on the device: those of ragged batches, by both rules, against the logits that the reference
// evaluator computes for each text alone.
import { expect, it } from "vitest";
import { lower } from "../../../../src/compiler/lower/lower.js";
import { checkAs } from "../../../../src/compiler/recipes.js";
import { evaluate } from "../../../../src/compiler/reference/evaluate.js";
import { load } from "../../../../src/runtime/index.js";
import { Passes, type ScoredText } from "../../../../src/tools/train/scoring/passes.js";
import { scoringModel } from "../../../../src/tools/train/scoring/scored.js";
import { exampleSource } from "../../../compiler/autodiff/models.js";
import { modelDevice } from "../../../model-device.js";
import { random } from "../../../random.js";

const VOCABULARY = 13;
const set = { dim: "32", heads: "2", depth: "2", vocab: String(VOCABULARY), context: "32", capacity: "50%" };
const text = { source: { file: "dpo.mod", text: exampleSource("objectives/dpo.mod") }, read: () => null };
const model = scoringModel(text, { set }, null);
const LENGTHS = [7, 2, 19, 1, 12];
/** Of log-probabilities in f32, through two layers. */
const TOLERANCE = 1e-4;

it("gives a routed model both rules, its bound and its tokens", () => {
  expect([model.rules, model.routed, model.bound, model.vocabulary, model.readable]).toEqual([
    ["top-k", "causal"],
    true,
    32,
    VOCABULARY,
    VOCABULARY,
  ]);
  expect(scoringModel(text, { set }, "causal").rules).toEqual(["causal"]);
});

it.each(["top-k", "causal"] as const)("scores by %s as the reference does", { tags: "long" }, async (rule) => {
  const device = await modelDevice();
  const checked = checkAs(text.source, {
    phase: rule === "causal" ? "generate" : "infer",
    entry: "forward",
    set,
    read: text.read,
  }).model!;
  const graph = lower(checked);
  const rng = random(5);
  const weights = new Map(
    checked.weights.map(({ path, shape }) => {
      const value = (): number => (shape.length < 2 ? 1 : 0) + rng.normal() * (shape.length < 2 ? 0.1 : 0.3);
      return [path, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value)];
    }),
  );
  const texts = LENGTHS.map((length): ScoredText => {
    const tokens = Array.from({ length }, () => rng.below(VOCABULARY));
    const targets = Int32Array.from({ length }, (_, i) => (i + 1 < length && rng.below(4) > 0 ? tokens[i + 1]! : -1));
    return { tokens, targets };
  });
  const expected = texts.map(({ tokens }) => {
    const { outputs } = evaluate(graph, {
      inputs: new Map([["tokens", { shape: [1, tokens.length], data: Float64Array.from(tokens) }]]),
      weights: new Map(
        checked.weights.map(({ path, shape }) => [
          path,
          { dtype: "f32" as const, shape, data: Float64Array.from(weights.get(path)!) },
        ]),
      ),
    });
    const logits = [...outputs.values()][0]!.data;
    const shares = [...outputs].filter(([name]) => name.endsWith(".count")).map(([, { data }]) => data[0]!);
    return {
      chosen: shares.reduce((a, b) => a + b, 0),
      rows: tokens.map((_, i) => [...logits.subarray(i * VOCABULARY, (i + 1) * VOCABULARY)]),
    };
  });
  const passesOf = async (score: "likely" | "greedy"): Promise<Passes> => {
    const { forTarget, ...scored } = model.compile(score, rule, {});
    const session = await load(forTarget(device.target), device, ({ path }) => weights.get(path)!);
    return new Passes(session, scored, 2);
  };
  const likely = await passesOf("likely");
  const scores = await likely.scores(texts);
  const greedy = await (await passesOf("greedy")).scores(texts);
  for (const [n, { tokens, targets }] of texts.entries())
    for (const i of tokens.keys()) {
      const row = expected[n]!.rows[i]!;
      const norm = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      const right = targets[i]! < 0 ? 0 : row[targets[i]!]! - norm;
      expect(Math.abs(scores[n]![i]! - right), `text ${n}, token ${i}`).toBeLessThan(TOLERANCE);
      expect(greedy[n]![i]).toBe(row.indexOf(Math.max(...row)));
    }
  expect(likely.tokens).toBe(LENGTHS.reduce((a, b) => a + b, 0));
  const chosen = expected.reduce((sum, one) => sum + one.chosen, 0);
  expect(Object.values(likely.shares).reduce((a, b) => a + b, 0) * likely.tokens).toBeCloseTo(chosen, 9);
});
