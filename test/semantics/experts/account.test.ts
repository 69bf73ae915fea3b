// Random programs with experts against an account of them in plain loops, which must also notice mistakes.
import { describe, expect, it } from "vitest";
import { once } from "../../../src/ground/base/once.js";
import { testDevice } from "../../device.js";
import { expectAgreement, type Tally } from "../../end-to-end/agree.js";
import {
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Filled,
} from "../../end-to-end/model.js";
import { optimized, type Optimized } from "../../optimized.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { account, type Mistake, type Numbers, type Spec, type Values } from "./account.js";
import { randomSpec, sourceOf } from "./programs.js";

const PROGRAMS = soaking ? 400 : 36;
/** 64-bit sums in different orders, a few layers deep. */
const CLOSE = 1e-9;
const DEVICE = { atol: 3e-5, rtol: 3e-5 };

interface Trial {
  readonly spec: Spec;
  readonly source: string;
  readonly given: Case;
  readonly sequences: readonly (readonly number[][])[];
}

const SHAPES = [
  [1, 1],
  [7, 1],
  [1, 9],
  [3, 6],
  [2, 11],
] as const;

function trial(seed: number): Trial {
  const rng = random(seed + 1);
  const spec = randomSpec(rng);
  const [B, T] = SHAPES[seed % SHAPES.length]!;
  const x = randomInput([B, T, spec.dim], seed);
  const lengths = randomLengths(B, T, seed);
  const sequences = Array.from({ length: B }, (_, b) =>
    Array.from({ length: lengths[b]! }, (_t, t) =>
      Array.from(x.data.subarray((b * T + t) * spec.dim, (b * T + t + 1) * spec.dim)),
    ),
  );
  return { spec, source: sourceOf(spec), given: { inputs: { x }, lengths }, sequences };
}

/**
 * Random weights; every third router scores its first two experts alike, so that ties are decided. Not where experts
 * choose: of two alike each token's share is a half, up to a rounding that would decide between tokens.
 */
function weightsOf({ model }: Optimized, { spec }: Trial, seed: number): Map<string, Filled> {
  const weights = randomWeights(model, seed);
  const router = weights.get("moe.router.weight")!;
  const width = router.shape[1]!;
  if (seed % 3 === 0 && spec.chooses !== "experts" && router.shape[0]! > 1) router.data.copyWithin(width, 0, width);
  return weights;
}

/** The account's outputs as a program gives them: padded with zeros. */
function padded(outputs: readonly (readonly (readonly number[])[])[], T: number, dim: number): number[] {
  return outputs.flatMap((rows) =>
    Array.from({ length: T }, (_, t) => rows[t] ?? Array.from({ length: dim }, () => 0)).flat(),
  );
}

const sizes = ({ given, spec }: Trial): readonly [T: number, dim: number] => [given.inputs["x"]!.shape[1]!, spec.dim];

/** Random programs, with the reference's results: a mistake is one of the account, and changes neither. */
const programs = Array.from({ length: PROGRAMS }, (_, seed) =>
  once(() => {
    const made = trial(seed);
    const own = optimized(made.source);
    const weights = weightsOf(own, made, seed);
    return { made, graph: own.graph, weights, wanted: reference(own.graph, weights, made.given) };
  }),
);

describe("a random program with experts", () => {
  const seeds = Array.from({ length: PROGRAMS }, (_, seed) => seed);

  it.each(seeds)("%i computes what the account says", (seed) => {
    const { made, weights, wanted } = programs[seed]!();
    const found = wanted.outputs.get("output")!.data;
    const { ratio, text } = furthest(
      found,
      padded(account(made.spec, weights, made.sequences).outputs, ...sizes(made)),
      CLOSE,
      CLOSE,
    );
    expect(ratio, `${made.source}\n${text}`).toBeLessThan(1);
  });

  it.each(seeds.filter((seed) => seed % 3 === 1))("%i computes it on the device", { tags: "long" }, async (seed) => {
    const { made, graph, weights, wanted } = programs[seed]!();
    const { program } = compiled(made.source);
    const session = await sessionOf(program, await testDevice(), weights, { B: 1, T: 4 });
    const tally: Tally = { choices: 0, forced: 0 };
    expectAgreement(graph, weights, made.given, await onDevice(session, made.given), DEVICE, tally, wanted);
    session.dispose();
  });

  it.each(seeds.filter((seed) => seed % 2 === 0))("%i has the gradients of the account", (seed) => {
    const made = trial(seed);
    const own = optimized(made.source, { phase: "train", gradients: true });
    const weights = weightsOf(own, made, seed);
    const outputs = reference(own.graph, weights, made.given).outputs;
    const here = account(made.spec, weights, made.sequences);
    expect(outputs.get("loss")!.data[0]).toBeCloseTo(here.loss, 9);
    const rng = random(seed);
    for (const [path, { shape, data }] of weights) {
      const direction = Float64Array.from(data, () => rng.normal());
      const at = (step: number): ReturnType<typeof account> => {
        const moved: Numbers = new Map<string, Values>(weights).set(path, {
          shape,
          data: Float64Array.from(data, (v, i) => v + step * direction[i]!),
        });
        return account(made.spec, moved, made.sequences);
      };
      const [up, down] = [at(STEP), at(-STEP)];
      // A choice that changes has no derivative; ties may be broken by the step.
      if (up.choices !== here.choices || down.choices !== here.choices) continue;
      const slope = (up.loss - down.loss) / (2 * STEP);
      const gradient = outputs.get(`grad.${path}`)!.data.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(gradient - slope), `${path}: ${gradient} against ${slope}\n${made.source}`).toBeLessThan(
        1e-6 * Math.max(1, Math.abs(slope)),
      );
    }
  });

  it.each(seeds.filter((seed) => isCausal(trial(seed).spec)))("%i is the same token after token", (seed) => {
    const made = trial(seed);
    const own = optimized(made.source, { phase: "generate" });
    const weights = weightsOf(own, made, seed);
    const found = reference(own.graph, weights, made.given).outputs.get("output")!.data;
    const { ratio, text } = furthest(
      found,
      padded(account(made.spec, weights, made.sequences).outputs, ...sizes(made)),
      CLOSE,
      CLOSE,
    );
    expect(ratio, text).toBeLessThan(1);
  });
});

/** The step of central differences: their error is some 1e-10 of the third derivative, and 1e-11 of the loss. */
const STEP = 1e-5;

/** Whether no token's choice looks at later tokens. */
const isCausal = ({ routed, chooses }: Spec): boolean => !routed && (chooses === "best" || chooses === "above");

describe("the account", () => {
  const mistakes: readonly Mistake[] = [
    "softmax of all",
    "sum of gates",
    "last token",
    "compacted positions",
    "higher index",
  ];

  it.each(mistakes)("notices the mistake: %s", (mistake) => {
    const wrong = programs.filter((program) => {
      const { made, weights, wanted } = program();
      const { outputs } = account(made.spec, weights, made.sequences, mistake);
      return furthest(wanted.outputs.get("output")!.data, padded(outputs, ...sizes(made)), 1e-3, 1e-3).ratio > 1;
    });
    expect(wrong.length).toBeGreaterThan(1);
  });
});
