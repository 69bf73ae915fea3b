// The training step as a graph: changed and unchanged states, and sums over micro-batches.
import { describe, expect, it } from "vitest";
import { gradients } from "../../../src/compiler/autodiff/gradients.js";
import {
  accumulateStep,
  GRADIENT_NORM,
  gradientState,
  KEEP,
  momentState,
  RATES,
  SHARES,
  type StepOptions,
  trainStep,
} from "../../../src/compiler/autodiff/train-step.js";
import { createEmit } from "../../../src/compiler/ir/build.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { random } from "../../random.js";
import { exampleSource, lowered } from "./models.js";
import { expectClose } from "../../close.js";

const SMALL = { dim: "16", heads: "2", depth: "2", vocab: "11", context: "16" };
const { model, graph: objective } = lowered(exampleSource("moby.mod"), { set: SMALL });
const adamw = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
const plain: StepOptions = { optimizer: adamw, clip: null, accumulated: false };

type Tensors = Map<string, Tensor>;
const f64 = (shape: readonly number[], data: ArrayLike<number>): Tensor => ({
  dtype: "f32",
  shape,
  data: Float64Array.from(data),
});

function startingWeights(seed = 1): Tensors {
  const rng = random(seed);
  return new Map(
    model.weights.map(({ path, shape }) => [
      path,
      f64(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (shape.length < 2 ? 1 : 0) + 0.2 * rng.normal()),
      ),
    ]),
  );
}

function batch(B: number, T: number, seed: number): Map<string, { shape: number[]; data: Float64Array }> {
  const rng = random(seed);
  const tokens = (): { shape: number[]; data: Float64Array } => ({
    shape: [B, T],
    data: Float64Array.from({ length: B * T }, () => rng.below(11)),
  });
  return new Map([
    ["tokens", tokens()],
    ["targets", tokens()],
  ]);
}

const rates = (rate: number, decay: number, step: number): { shape: number[]; data: Float64Array } => ({
  shape: [4],
  data: Float64Array.of(rate, decay, 1 - 0.9 ** step, 1 - 0.95 ** step),
});
const THIRDS = { shape: [2], data: Float64Array.of(1 / 3, 1 / 3) };

function run(graph: Graph, inputs: ReturnType<typeof batch>, states: Tensors): ReturnType<typeof evaluate> {
  const weights = new Map([...states].filter(([name]) => model.weights.some((w) => w.path === name)));
  return evaluate(graph, { inputs, weights, states });
}

/** Gradients by path, for the objective without a training step. */
function gradientsOf(
  inputs: ReturnType<typeof batch>,
  states: Tensors,
): { readonly loss: number; readonly of: Tensors } {
  const emit = createEmit(ops, objective.axes);
  const weights = nodesOf(objective).filter((n) => isOp(n, "weight"));
  const found = gradients(emit, objective.outputs.find((o) => o.name === "loss")!.node, weights);
  const outputs = weights.map((w) => ({
    name: w.attrs.path,
    role: "result" as const,
    node: found.get(w)!,
    shape: w.attrs.shape,
    packing: null,
  }));
  const { outputs: values } = evaluate(
    { ...objective, outputs: [...objective.outputs, ...outputs] },
    { inputs, weights: states },
  );
  return {
    loss: values.get("loss")!.data[0]!,
    of: new Map(weights.map((w) => [w.attrs.path, values.get(w.attrs.path)!])),
  };
}

const normOf = (gradient: Tensors): number =>
  Math.sqrt([...gradient.values()].reduce((sum, g) => sum + g.data.reduce((s, v) => s + v * v, 0), 0));

function expectSame({ data }: Tensor, wanted: ArrayLike<number>, what: string): void {
  const largest = Array.from(wanted).reduce((m, v) => Math.max(m, Math.abs(v)), 1e-30);
  expectClose(data, wanted, () => 1e-9 * largest, what);
}

describe("the training step", () => {
  it("is sound before and after the passes, and has a state for every weight and moment", () => {
    const { graph, trained, idle } = trainStep(objective, model.weights, plain);
    expect(verify(graph, ops)).toEqual([]);
    expect(verify(optimize(graph), ops)).toEqual([]);
    expect(idle).toEqual([]);
    expect(trained).toEqual(model.weights.map((w) => w.path));
    expect(graph.states.map((s) => s.name).sort()).toEqual(
      trained.flatMap((p) => [p, momentState("m", p), momentState("v", p)]).sort(),
    );
  });

  it("is AdamW over three steps, decay on matrices that are not looked up, in 64 bits to nine digits", () => {
    const { graph } = trainStep(objective, model.weights, plain);
    const optimized = optimize(graph);
    let states: Tensors = startingWeights();
    const mine = new Map(
      [...states].map(([path, t]) => [
        path,
        { w: t.data.slice(), m: new Float64Array(t.data.length), v: new Float64Array(t.data.length) },
      ]),
    );
    for (let step = 1; step <= 3; step++) {
      const inputs = batch(2, 9, step);
      const { loss, of } = gradientsOf(
        inputs,
        new Map([...mine].map(([p, { w }]) => [p, f64(states.get(p)!.shape, w)])),
      );
      const result = run(optimized, new Map([...inputs, [RATES, rates(0.01, 0.1, step)]]), states);
      expect(result.outputs.get("loss")!.data[0]!).toBeCloseTo(loss, 9);
      expect(result.outputs.get(GRADIENT_NORM)!.data[0]!).toBeCloseTo(normOf(of), 9);
      states = new Map(result.states);
      for (const [path, { w, m, v }] of mine) {
        const decay = states.get(path)!.shape.length >= 2 && path !== "embed.table" ? 0.1 : 0;
        of.get(path)!.data.forEach((g, i) => {
          m[i] = 0.9 * m[i]! + 0.1 * g;
          v[i] = 0.95 * v[i]! + 0.05 * g * g;
          w[i] =
            w[i]! - 0.01 * (m[i] / (1 - 0.9 ** step) / (Math.sqrt(v[i] / (1 - 0.95 ** step)) + 1e-8) + decay * w[i]!);
        });
        expectSame(states.get(path)!, w, path);
        expectSame(states.get(momentState("v", path))!, v, `v of ${path}`);
      }
    }
  });

  it("clips all gradients alike where their norm is too large", () => {
    const inputs = batch(2, 9, 3);
    const weights = startingWeights();
    const { of } = gradientsOf(inputs, weights);
    const sgd = { kind: "sgd", momentum: 0, nesterov: false } as const;
    const { graph } = trainStep(objective, model.weights, { optimizer: sgd, clip: 0.25, accumulated: false });
    const { states } = run(optimize(graph), new Map([...inputs, [RATES, rates(1, 0, 1)]]), weights);
    const factor = 0.25 / (normOf(of) + 1e-6);
    expect(factor).toBeLessThan(1);
    for (const [path, g] of of)
      expectSame(
        states.get(path)!,
        weights.get(path)!.data.map((w, i) => w - factor * g.data[i]!),
        path,
      );
  });

  it("leaves weights alone that are not to learn, and says which learn nothing", () => {
    const only = /router|guess/;
    const { graph, trained } = trainStep(objective, model.weights, {
      ...plain,
      trained: ({ path }) => only.test(path),
    });
    expect(trained.length).toBeGreaterThan(3);
    expect(trained.every((p) => only.test(p))).toBe(true);
    const weights = startingWeights();
    const { states } = run(optimize(graph), new Map([...batch(1, 8, 5), [RATES, rates(0.01, 0.1, 1)]]), weights);
    for (const { path } of model.weights) {
      const same = states.get(path)!.data.every((v, i) => v === weights.get(path)!.data[i]);
      expect(same, path).toBe(!only.test(path));
    }
  });

  it("names weights that the loss does not depend on", () => {
    const { model: m, graph } = lowered(
      `model M() { used: Lin() unused: Lin() objective(x: f32[B, T, 4]) { loss l = mean(used(x)) } }
      block Lin() { weight w: f32[4, 4] forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x @ w } }`
        .replaceAll(" unused", "\nunused")
        .replaceAll(" objective", "\nobjective")
        .replaceAll(" forward", "\nforward"),
    );
    const made = trainStep(graph, m.weights, plain);
    expect(made.trained).toEqual(["used.w"]);
    expect(made.idle).toEqual(["unused.w"]);
    expect(verify(made.graph, ops)).toEqual([]);
  });

  it("changes nothing where the loss is not finite", () => {
    const { graph } = trainStep(objective, model.weights, plain);
    const weights = startingWeights();
    weights.get("norm.weight")!.data[3] = Infinity;
    const { states, outputs } = run(
      optimize(graph),
      new Map([...batch(1, 8, 5), [RATES, rates(0.01, 0.1, 1)]]),
      weights,
    );
    expect(outputs.get("loss")!.data[0]!).toBeNaN();
    for (const { path } of model.weights) {
      expect([...states.get(path)!.data], path).toEqual([...weights.get(path)!.data]);
      expect(states.get(momentState("v", path))!.data.every((v) => v === 0)).toBe(true);
    }
  });

  it("gives for three micro-batches the step of their mean gradient, whatever was accumulated before", () => {
    const optimizer = { kind: "sgd", momentum: 0.9, nesterov: true } as const;
    const apply = optimize(trainStep(objective, model.weights, { optimizer, clip: null, accumulated: true }).graph);
    const add = optimize(accumulateStep(objective, model.weights, {}));
    expect(verify(add, ops)).toEqual([]);
    const weights = startingWeights();
    const parts = [1, 2, 3].map((seed) => batch(2, 7, seed));
    let states: Tensors = new Map([
      ...weights,
      ...model.weights.map(({ path, shape }): [string, Tensor] => [
        gradientState(path),
        f64(shape, new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(NaN)),
      ]),
    ]);
    parts.slice(0, 2).forEach((inputs, i) => {
      const { states: next } = run(
        add,
        new Map([...inputs, [SHARES, THIRDS], [KEEP, { shape: [], data: Float64Array.of(i === 0 ? 0 : 1) }]]),
        states,
      );
      for (const { path } of model.weights) expect(next.get(path)!.data).toEqual(weights.get(path)!.data);
      states = new Map([...states, ...next]);
    });
    const { states: after, outputs } = run(
      apply,
      new Map([...parts[2]!, [SHARES, THIRDS], [RATES, rates(0.5, 0, 1)]]),
      states,
    );
    const all = parts.map((inputs) => gradientsOf(inputs, weights).of);
    const mean: Tensors = new Map(
      [...all[0]!].map(([path, g]) => [
        path,
        f64(
          g.shape,
          g.data.map((_, i) => all.reduce((sum, one) => sum + one.get(path)!.data[i]!, 0) / 3),
        ),
      ]),
    );
    expect(outputs.get(GRADIENT_NORM)!.data[0]!).toBeCloseTo(normOf(mean), 9);
    for (const [path, g] of mean)
      expectSame(
        after.get(path)!,
        weights.get(path)!.data.map((w, i) => w - 0.5 * 1.9 * g.data[i]!),
        path,
      );
  });
});
