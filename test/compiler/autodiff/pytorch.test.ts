// Losses, gradients and ten steps of each optimiser against PyTorch, in 64 bits on both sides, for objectives of texts,
// preferences and rewards. Skipped, and saying so, if Python has no torch.
import { beforeAll, describe, expect, it } from "vitest";
import { rolesOf } from "../../../src/compiler/autodiff/roles.js";
import {
  correctionsOf,
  OWN_RATES,
  RATES,
  trainStep,
  type Optimizer,
} from "../../../src/compiler/autodiff/train-step.js";
import { isOp, nodesOf } from "../../../src/compiler/ir/graph.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { expectClose } from "../../close.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import { differentiated, outputName } from "./differences.js";
import { exampleSource, lowered } from "./models.js";

const SCRIPT = new URL("pytorch.py", import.meta.url);

const [BATCH, TOKENS, VOCAB] = [2, 12, 17];
const SET = { vocab: `${VOCAB}`, dim: "16", heads: "2", context: "16", capacity: "25%" };
const MOBY = exampleSource("moby.mod");
const ROUTED = ["dense", "mod", "dense", "mod"];
const MODELS = [
  {
    name: "a dense model",
    source: MOBY.replace("i % 2 == 1", "i < 0"),
    layers: ["dense", "dense"],
    objective: "next_token",
  },
  { name: "Mixture-of-Depths with predictors", source: MOBY, layers: ROUTED, objective: "next_token" },
  ...["dpo", "grpo", "reward", "classify", "masked", "distill", "embed"].map((objective) => ({
    name: `examples/objectives/${objective}.mod`,
    source: exampleSource(`objectives/${objective}.mod`),
    layers: ROUTED,
    objective,
  })),
];
/** Means of inputs of floats: log-probabilities of texts and of tokens. */
const MEANS: Readonly<Record<string, number>> = { reference_chosen: -30, reference_rejected: -30, old: -2.8 };

/** Warm-up, then held: what a step is told. */
const RATE = Array.from({ length: 10 }, (_, i) => 0.02 * Math.min(1, (i + 1) / 4));
const [BETA1, BETA2, EPS, DECAY, CLIP] = [0.9, 0.95, 1e-8, 0.1, 0.5];

const ADAMW: Optimizer = { kind: "adamw", beta1: BETA1, beta2: BETA2, eps: EPS };
/** Each with the factor of its learning rate. Muon's own rate is twice AdamW's. */
const OPTIMIZERS: readonly { readonly optimizer: Optimizer; readonly slower: number }[] = [
  { optimizer: { kind: "muon", momentum: 0.95, beta1: BETA1, beta2: BETA2, eps: EPS }, slower: 1 },
  { optimizer: { kind: "lion", beta1: 0.9, beta2: 0.99 }, slower: 0.1 },
  { optimizer: { kind: "adafactor" }, slower: 1 },
];
const MUON_FACTOR = 2;
/** The weights that Muon takes: the matrices of the layers. */
const MATRIX = /\.inner\.(?:attn\.[qkvo]|mlp\.(?:gate|up|down))\.weight$/;

interface Answer {
  readonly losses: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

function caseOf({ source, layers, objective }: (typeof MODELS)[number], seed: number) {
  const { graph, model } = lowered(source, { set: { ...SET, depth: `${layers.length}` } });
  const rng = random(seed);
  const weights = model.weights.map(({ path, shape }) => {
    const value = shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => rng.normal() / Math.sqrt(shape.at(-1)!);
    return { path, shape, data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) };
  });
  // A target may be −1: the token does not count. Token 0 begins each text and is nowhere else: if a text began with
  // the same token twice, the two would have equal scores up to rounding, and rounding would choose between them.
  const valueOf = (name: string, dtype: string, at: number): number => {
    if (dtype === "f32") return (MEANS[name] ?? 0) + 0.3 * rng.normal();
    if (name === "labels") return rng.below(4);
    if (dtype === "i32") return rng.below(4) === 0 ? -1 : rng.below(VOCAB);
    return at % TOKENS === 0 ? 0 : 1 + rng.below(VOCAB - 1);
  };
  const inputs = new Map(
    model.inputs.map(({ name, type }) => {
      const shape = type.shape.map((_, dim) => (dim === 0 ? BATCH : TOKENS));
      const length = shape.reduce((n, size) => n * size, 1);
      return [name, { shape, data: Array.from({ length }, (_, at) => valueOf(name, type.dtype, at)) }] as const;
    }),
  );
  const nested = ({ shape, data }: { readonly shape: readonly number[]; readonly data: readonly number[] }) =>
    shape.length === 1 ? data : Array.from({ length: BATCH }, (_, b) => data.slice(b * TOKENS, (b + 1) * TOKENS));
  const decays = weights.filter((w) => w.shape.length >= 2 && !w.path.endsWith("embed.table")).map((w) => w.path);
  const text = {
    layers,
    heads: 2,
    capacity: 0.25,
    objective,
    inputs: Object.fromEntries([...inputs].map(([name, input]) => [name, nested(input)])),
    rates: RATE,
    betas: [BETA1, BETA2],
    eps: EPS,
    decay: DECAY,
    decays,
    clip: CLIP,
    weights: Object.fromEntries(weights.map(({ path, shape, data }) => [path, { shape, data }])),
  };
  return { graph, model, weights, inputs, text };
}

/**
 * 64-bit sums in another order: relative to the largest value of a tensor. Ten steps of an optimiser divide by the root
 * of its moments, which widens the difference.
 */
function expectLike(found: ArrayLike<number>, expected: readonly number[], tolerance: number, name: string): void {
  const largest = expected.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  expectClose(found, expected, () => tolerance * largest, name);
}

/** Compares the losses and the final weights of the reference with PyTorch's. */
function expectSteps(
  { graph, model, weights, inputs }: Omit<ReturnType<typeof caseOf>, "text">,
  optimizer: Optimizer,
  { losses, weights: after }: Answer,
  slower = 1,
): void {
  const roles = rolesOf(model);
  const own = optimizer.kind === "muon" ? { roles } : {};
  const step = trainStep(graph, model.weights, { optimizer, clip: CLIP, accumulated: false, ...own });
  const started = new Map(weights.map((w) => [w.path, { shape: w.shape, data: w.data }]));
  let states: ReadonlyMap<string, Tensor> = new Map();
  RATE.forEach((full, n) => {
    const rate = full * slower;
    const given = new Map([
      ...inputs,
      [RATES, { shape: [4], data: [rate, DECAY, ...correctionsOf(optimizer, n + 1)] }],
    ]);
    if (optimizer.kind === "muon") given.set(OWN_RATES, { shape: [3], data: [rate, rate, rate * MUON_FACTOR] });
    const run = evaluate(step.graph, { inputs: given, weights: started, states });
    expectLike(run.outputs.get("loss")!.data, losses.slice(n, n + 1), 1e-9, `loss of step ${n + 1}`);
    states = run.states;
  });
  for (const { path } of weights) expectLike(states.get(path)!.data, after[path]!, 1e-8, path);
}

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  const cases = MODELS.map((model, i) => caseOf(model, i + 1));
  let asked: Promise<readonly Answer[]>;
  beforeAll(() => {
    asked = askTorch(
      SCRIPT,
      cases.map((c) => c.text),
    );
  });
  const answer = async (i: number): Promise<Answer> => (await asked)[i]!;

  it.each(MODELS.map(({ name }, i) => ({ name, i })))(
    "has the loss and the gradient of every weight of $name",
    { tags: "long" },
    async ({ i }) => {
      const { graph, weights, inputs } = cases[i]!;
      const leaves = nodesOf(graph).filter((n) => isOp(n, "weight"));
      expect(leaves.length).toBe(weights.length);
      const whole = differentiated(graph, graph.outputs.find((o) => o.name === "loss")!.node, leaves);
      const { outputs } = evaluate(whole, { inputs, weights: new Map(weights.map((w) => [w.path, w])) });
      const { losses, gradients } = await answer(i);
      expectLike(outputs.get("loss")!.data, losses.slice(0, 1), 1e-12, "loss");
      for (const { path } of weights)
        expectLike(outputs.get(outputName({ kind: "weight", name: path }))!.data, gradients[path]!, 1e-9, path);
    },
  );

  it.each(MODELS.map(({ name }, i) => ({ name, i })))(
    "is where $name is after ten steps of AdamW",
    { tags: "long" },
    async ({ i }) => expectSteps(cases[i]!, ADAMW, await answer(i)),
  );

  it.each(OPTIMIZERS)(
    "is where Mixture-of-Depths is after ten steps of $optimizer.kind",
    { tags: "long" },
    async ({ optimizer, ...more }) => {
      const { text, ...one } = caseOf(MODELS[1]!, 2);
      const betas = "beta1" in optimizer ? [optimizer.beta1, optimizer.beta2] : text.betas;
      const matrices = one.weights
        .map(({ path }) => path)
        .filter((path) => optimizer.kind === "muon" && MATRIX.test(path));
      const rates = RATE.map((rate) => rate * more.slower);
      const job = { ...text, betas, rates, matrices, optimizer: optimizer.kind, muon: MUON_FACTOR };
      const [found] = await askTorch<Answer>(SCRIPT, [job]);
      expectSteps(one, optimizer, found!, more.slower);
    },
  );
});
