// Blocks of the library against accounts of published modules in PyTorch, in 64 bits: results alone, by the causal rule
// and on a route that takes some of the tokens, and gradients of all weights.
import { expect } from "vitest";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { expectClose } from "../../close.js";
import { lowered } from "../../compiler/autodiff/models.js";
import { askTorch } from "../../pytorch.js";
import { random, type Random } from "../../random.js";

const [BATCH, TOKENS, CHOSEN] = [2, 9, 5];

/** A block and the account of it, a function of the script. */
export interface Account {
  /** The function. */
  readonly account: string;
  /** The block and its arguments, as a model writes them. */
  readonly call: string;
  /** Width of the stream. */
  readonly dim: number;
  /** Width of a second input of each token, if the block has one. */
  readonly beside?: number;
  /** What else the function reads. */
  readonly options?: Readonly<Record<string, number | string | boolean>>;
}

interface Answer {
  readonly output: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

/** The model; a routed one takes `CHOSEN` tokens of each sequence. */
function source({ call, dim, beside }: Account, routed: boolean): string {
  const second = beside === undefined ? "" : `, beside: f32[B, T, ${beside}]`;
  const pass = beside === undefined ? "" : ", beside";
  const taken = beside === undefined ? "" : ", take(beside, chosen)";
  return `
import { ${[...call.matchAll(/\w+(?=\()/g)].map(([name]) => name).join(", ")} } from "std"
model M() {
  m: ${call}
  weight score: f32[${dim}]
  forward(x: f32[B, T <= 16, ${dim}]${second}) -> f32[B, T, ${dim}] {
    ${
      routed
        ? `chosen = top(x @ score, ${CHOSEN})\n    put(zeros(like: x), chosen, m(take(x, chosen)${taken}))`
        : `m(x${pass})`
    }
  }
  objective(x: f32[B, T <= 16, ${dim}]${second}) {
    y = forward(x${pass})
    loss all = 0.01 * sum(y * y + sin(y))
  }
}`;
}

/** Places of the tokens with the largest scores of each sequence, ascending. */
const placesOf = (scores: readonly (readonly number[])[], k: number): readonly (readonly number[])[] =>
  scores.map((row) =>
    row
      .map((score, place) => ({ score, place }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, k)
      .map(({ place }) => place)
      .toSorted((a, b) => a - b),
  );

const normal = (rng: Random, shape: readonly number[], factor = 1) => ({
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => factor * rng.normal()),
});

/** That the block computes what the account does: 1e-9 of numbers about 1. */
export async function expectAccount(script: URL, given: Account): Promise<void> {
  const rng = random(7);
  const { dim, beside } = given;
  const inputs = new Map([["x", normal(rng, [BATCH, TOKENS, dim])]]);
  if (beside !== undefined) inputs.set("beside", normal(rng, [BATCH, TOKENS, beside]));
  const { model } = lowered(source(given, true), { entry: "forward", phase: "infer" });
  const weights = new Map(
    model.weights.map(({ path, shape }) => [path, normal(rng, shape, 1 / Math.sqrt(shape.at(-1)!))] as const),
  );
  const x = inputs.get("x")!.data;
  const score = weights.get("score")!.data;
  const scores = Array.from({ length: BATCH }, (_, b) =>
    Array.from({ length: TOKENS }, (_, t) => score.reduce((sum, s, i) => sum + s * x[(b * TOKENS + t) * dim + i]!, 0)),
  );
  const jobs = [TOKENS, CHOSEN].map((k) => ({
    account: given.account,
    options: given.options ?? {},
    places: placesOf(scores, k),
    inputs: Object.fromEntries([...inputs].map(([name, { shape, data }]) => [name, [shape, data]])),
    weights: Object.fromEntries(
      [...weights]
        .filter(([path]) => path.startsWith("m."))
        .map(([path, { shape, data }]) => [path.slice("m.".length), [shape, data]]),
    ),
  }));
  const answers = await askTorch<Answer>(script, jobs);
  for (const [i, routed] of [false, true].entries()) {
    const { output, gradients } = answers[i]!;
    const forward = lowered(source(given, routed), { entry: "forward", phase: "infer" });
    const { outputs } = evaluate(forward.graph, { inputs, weights });
    expectClose([...outputs.get("output")!.data], output, () => 1e-9, routed ? "routed output" : "output");
    if (!routed) {
      const generating = lowered(source(given, false), { entry: "forward", phase: "generate" });
      const whole = evaluate(generating.graph, { inputs, weights }).outputs.get("output")!.data;
      expectClose([...whole], output, () => 1e-9, "output by the causal rule");
    }
    const trained = lowered(source(given, routed));
    const found = evaluate(withGradients(trained.graph, trained.model.weights), { inputs, weights }).outputs;
    for (const [path, expected] of Object.entries(gradients)) {
      const some = expected.some((g) => Math.abs(g) > 1e-6);
      expect(some, `${path} has a gradient`).toBe(true);
      expectClose([...found.get(`grad.m.${path}`)!.data], expected, () => 1e-9, path);
    }
  }
}
