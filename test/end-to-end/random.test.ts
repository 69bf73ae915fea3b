// Random valid programs: what their compiled form computes on a device is what the reference says.
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import type { Graph } from "../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../src/compiler/reference/evaluate.js";
import type { Results } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { packingAll } from "../packed.js";
import { randomModel } from "../random-models.js";
import { random } from "../random.js";
import { expectAgreement, SCORE_ERROR, type Tally } from "./agree.js";
import { comparable, TOLERANCE } from "./comparable.js";
import {
  choicesOf,
  compiled,
  onDevice,
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  reference,
  sessionOf,
  type Case,
} from "./model.js";
import { cases, patience, seedOf } from "../soak.js";

const tally: Tally = { choices: 0, forced: 0 };
/** Cases that are not comparable: raw gates feed on each other in some random models. */
const beyond = { cases: 0, of: 0 };
// Vocabularies of three words repeat tokens, whose scores tie exactly in 64 bits and differ by rounding on a device:
// more near-ties than the one in a thousand that models of a real size are held to.
afterAll(() => {
  expect(tally.choices).toBeGreaterThan(cases(100));
  expect(tally.forced, `${tally.forced} of ${tally.choices} choices were too close to call`).toBeLessThanOrEqual(
    Math.max(1, tally.choices / 100),
  );
  expect(beyond.cases, `${beyond.cases} of ${beyond.of} cases were too ill-conditioned for f32`).toBeLessThan(
    beyond.of / 20,
  );
});

const sizes = [
  [1, 1],
  [3, 7],
  [2, 19],
] as const;

/**
 * Whether a route that is not observed hangs on less than a device's rounding: which way it chose there cannot be told.
 * Equal scores are equal there too.
 */
function hidesNearTie(graph: Graph, wanted: Evaluation, results: Results, given: Case): boolean {
  const seen = choicesOf(graph, wanted, results, given);
  return [...wanted.routes].some(
    ([axis, { margins }]) => !seen.has(axis) && margins.some((m) => m > 0 && m < SCORE_ERROR),
  );
}

it(
  "each of many random programs agrees with the reference, in a phase and entry of its own",
  { tags: "long", timeout: patience(300_000) },
  async () => {
    const device = await testDevice();
    await fc.assert(
      fc.asyncProperty(
        randomModel,
        fc.constantFrom("infer", "generate", "train" as const),
        fc.integer({ min: 1, max: 1e6 }),
        async (model, wanted, seed) => {
          const phase = wanted === "generate" && !model.causal ? "infer" : wanted;
          const tunings = seed % 2 === 0 ? packingAll(device.target, seed / 2) : undefined;
          const { program, graph } = compiled(model.source, {
            phase,
            target: device.target,
            ...(tunings && { tunings }),
          });
          // raw gates of larger weights square the stream at every layer, beyond f32
          const weights = randomWeights(program, seed, 0.5);
          const session = await sessionOf(program, device, weights, { B: 1, T: 4 });
          const rng = random(seed);
          for (const [B, most] of sizes) {
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
            const wanted = reference(graph, weights, given);
            beyond.of++;
            const results = await onDevice(session, given);
            if (!hidesNearTie(graph, wanted, results, given) && comparable(graph, weights, given, wanted))
              expectAgreement(graph, weights, given, results, TOLERANCE, tally, wanted);
            else beyond.cases++;
          }
          session.dispose();
        },
      ),
      { numRuns: cases(60), seed: seedOf(20240402), endOnFailure: true },
    );
  },
);
