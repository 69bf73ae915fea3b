// A step in micro-batches of different sizes is the step of all sequences at once: each loss has a count, the number of
// elements in its mean.
import { describe, expect, it } from "vitest";
import {
  accumulateStep,
  GRADIENT_NORM,
  gradientState,
  KEEP,
  RATES,
  SHARES,
  trainStep,
  type StepOptions,
} from "../../../src/compiler/autodiff/train-step.js";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { sharesOf } from "../../../src/tools/train/step-values.js";
import { expectClose } from "../../close.js";
import { random } from "../../random.js";
import { lowered } from "./models.js";

/** A loss that is a mean over targets, one of a layer that is a mean over tokens, and both read the same weights. */
const SOURCE = `
import { Embedding, Layer, Linear, MoD } from "std"

model Small() {
  table: Embedding(11, 8)
  layer: MoD(Layer(8, 2, hidden: 12), 8, 50%)
  head:  Linear(8, 11)

  objective(tokens: u32[B, T <= 16], targets: i32[B, T]) {
    x = table(tokens)
    loss next = cross_entropy(head(layer(x)), targets)
  }
}`;
const { model, graph: objective } = lowered(SOURCE);
const own = new Set(model.losses.flatMap((l) => (l.own ? [l.path] : [])));
const sgd = { optimizer: { kind: "sgd", momentum: 0, nesterov: false }, clip: null } as const;
const T = 9;

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float64Array }>;
interface Part {
  readonly inputs: Values;
  readonly lengths: Uint32Array;
}

/** Sequences of these lengths, whose first tokens are not to be learned. */
function sequences(seed: number, each: readonly (readonly [length: number, prompt: number])[]): Part {
  const rng = random(seed);
  const words = (): Float64Array => Float64Array.from({ length: each.length * T }, () => rng.below(11));
  const targets = words();
  each.forEach(([length, prompt], b) =>
    targets.forEach((_, i) => {
      const t = i - b * T;
      if (t >= 0 && t < T && (t < prompt || t >= length)) targets[i] = -1;
    }),
  );
  const shape = [each.length, T];
  return {
    inputs: new Map([
      ["tokens", { shape, data: words() }],
      ["targets", { shape, data: targets }],
    ]),
    lengths: Uint32Array.from(each, ([length]) => length),
  };
}

const PARTS = [
  sequences(1, [
    [9, 1],
    [8, 0],
  ]),
  sequences(2, [[5, 4]]),
  sequences(3, [[6, 6]]), // nothing to learn
  sequences(4, [
    [3, 1],
    [9, 7],
    [7, 2],
  ]),
];
const joined: Part = {
  inputs: new Map(
    ["tokens", "targets"].map((name) => {
      const data = Float64Array.from(PARTS.flatMap((p) => Array.from(p.inputs.get(name)!.data)));
      return [name, { shape: [data.length / T, T], data }];
    }),
  ),
  lengths: Uint32Array.from(PARTS.flatMap((p) => Array.from(p.lengths))),
};
const SHARED = sharesOf(
  PARTS.map(({ inputs, lengths }) => ({
    inputs: {},
    rows: lengths.length,
    length: T,
    lengths,
    weight: inputs.get("targets")!.data.filter((t) => t >= 0).length,
  })),
);

const weights = new Map<string, Tensor>(
  model.weights.map(({ path, shape }, i) => {
    const rng = random(i + 1);
    const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal() / 2);
    return [path, { dtype: "f32", shape, data }];
  }),
);
const scalar = (value: number) => ({ shape: [], data: Float64Array.of(value) });
const vector = (...values: number[]) => ({ shape: [values.length], data: Float64Array.from(values) });
const run = (graph: Graph, { inputs, lengths }: Part, more: Values, states: ReadonlyMap<string, Tensor>) =>
  evaluate(graph, { inputs: new Map([...inputs, ...more]), lengths, weights, states });

/** The gradients after all parts, as the change of the weights by a rate of 1, and the norm. */
function inParts(shares: typeof SHARED, more: Pick<StepOptions, "products">) {
  const options = { ...sgd, ...more, ownLosses: own };
  const add = optimize(accumulateStep(objective, model.weights, options));
  const step = optimize(trainStep(objective, model.weights, { ...options, accumulated: true }).graph);
  for (const graph of [add, step]) expect(verify(graph, ops)).toEqual([]);
  let states: ReadonlyMap<string, Tensor> = new Map(
    model.weights.map(({ path, shape }) => {
      const data = new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(NaN);
      return [gradientState(path), { dtype: "f32", shape, data }];
    }),
  );
  PARTS.slice(0, -1).forEach((part, i) => {
    const more = new Map([
      [KEEP, scalar(i === 0 ? 0 : 1)],
      [SHARES, vector(shares[i]!.own, shares[i]!.other)],
    ]);
    states = new Map([...states, ...run(add, part, more, states).states]);
  });
  const { own: last, other } = shares.at(-1)!;
  const given = new Map([
    [RATES, vector(1, 0, 1, 1)],
    [SHARES, vector(last, other)],
  ]);
  const { states: after, outputs } = run(step, PARTS.at(-1)!, given, states);
  const gradients = new Map(
    model.weights.map(({ path }) => [path, weights.get(path)!.data.map((w, i) => w - after.get(path)!.data[i]!)]),
  );
  return { gradients, norm: outputs.get(GRADIENT_NORM)!.data[0]! };
}

describe("micro-batches of different sizes", () => {
  const { outputs } = run(optimize(withGradients(objective, model.weights)), joined, new Map(), new Map());
  const wanted = new Map(model.weights.map(({ path }) => [path, outputs.get(`grad.${path}`)!.data]));
  const norm = Math.sqrt([...wanted.values()].reduce((sum, g) => sum + g.reduce((s, v) => s + v * v, 0), 0));
  const largest = (data: ArrayLike<number>): number => Array.from(data).reduce((m, v) => Math.max(m, Math.abs(v)), 0);

  it("have the shares of their targets in the objective's losses, of their tokens in all others", () => {
    expect(model.losses.map((l) => [l.path, l.own])).toEqual([
      ["layer.predictor", false],
      ["next", true],
    ]);
    expect(SHARED.map((s) => s.own)).toEqual([16, 1, 0, 9].map((n) => n / 26));
    expect(SHARED.map((s) => s.other)).toEqual([17, 5, 6, 19].map((n) => n / 47));
    expect(sharesOf([{ inputs: {}, rows: 1, length: 4, weight: 0 }])).toEqual([{ own: 1, other: 1 }]);
    const none = { inputs: {}, rows: 1, length: 4, weight: 0 };
    expect(sharesOf([none, none])).toEqual([0.5, 0.5].map((other) => ({ own: 0, other })));
  });

  // 64-bit sums in another order.
  it.each([undefined, "f16"] as const)("have the gradients of one batch, with products in %s", (products) => {
    // `roundOperands` is not applied: with f16 the loss is scaled, and nothing is rounded.
    const found = inParts(SHARED, { products });
    expect(found.norm / norm).toBeCloseTo(1, 10);
    for (const [path, g] of wanted) {
      expect(largest(g), path).toBeGreaterThan(1e-4);
      expectClose(found.gradients.get(path)!, g, () => 1e-9 * largest(g), path);
    }
  });

  it("have other gradients if all weigh the same", () => {
    const found = inParts(
      PARTS.map(() => ({ own: 1 / 4, other: 1 / 4 })),
      {},
    );
    for (const [path, g] of wanted)
      expect(largest(g.map((v, i) => v - found.gradients.get(path)![i]!)) / largest(g), path).toBeGreaterThan(0.01);
  });
});
