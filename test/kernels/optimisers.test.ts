// Optimisers over several steps against plain formulas: the same numbers as PyTorch's, whose order of operations they
// have.
import { beforeAll, describe, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { createEmit } from "../../src/compiler/ir/build.js";
import type { Graph, GraphInput, Node } from "../../src/compiler/ir/graph.js";
import { inputsFor } from "../../src/compiler/ir/typing.js";
import type { OpAttrs } from "../../src/compiler/ir/vocabulary.js";
import { ops } from "../../src/compiler/ops/index.js";
import { type Device, load } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { testDevice } from "../device.js";
import { randomFrom } from "../compiler/ops/bench.js";
import { expectClose } from "../close.js";

const SHAPE = [7, 5] as const;
const COUNT = 35;
const STEPS = 12;

/** A step as a program: weights and moments are states, gradient and settings inputs. */
function stepGraph<K extends "adamw" | "sgd">(
  op: K,
  attrs: OpAttrs[K],
  names: readonly string[],
  settings: number,
): Graph {
  const emitNode = createEmit(ops, []);
  const tensors = names.map((name) => emitNode.node("state", [], { name, dtype: "f32", shape: SHAPE }));
  const inputs = (
    [
      ["g", SHAPE],
      ["settings", [settings]],
    ] as const
  ).map(([name, shape]): GraphInput => {
    const node = emitNode.node("input", [], { name, dtype: "f32", shape });
    return { name, node, shape, packing: null, least: 0, below: null };
  });
  const step: Node = emitNode.node(op, inputsFor(op, [...tensors, ...inputs.map((i) => i.node)]), attrs);
  const states = names.map((name, i) => ({
    name,
    type: tensors[i]!.types[0]!,
    init: { kind: "zeros" as const },
    next: emitNode.pick(step, i),
  }));
  return { name: op, axes: [], live: [], inputs, outputs: [], states, starts: new Map() };
}

const draw = (seed: number): number[] => {
  const random = randomFrom(seed);
  return Array.from({ length: COUNT }, () => Math.fround(random.normal()));
};

/** Runs the steps on a device, from random weights; returns the weights after each. */
async function runSteps(device: Device, graph: Graph, settings: (t: number) => readonly number[]): Promise<number[][]> {
  const session = await load(emit(schedule(graph, device.target)), device);
  try {
    await session.writeStates(new Map([["w", { data: Float32Array.from(draw(0)) }]]));
    const weights: number[][] = [];
    for (let t = 1; t <= STEPS; t++) {
      await session.run({
        g: { data: draw(t), shape: SHAPE },
        settings: { data: settings(t).map(Math.fround), shape: [settings(t).length] },
      });
      weights.push([...(await session.readStates(["w"])).get("w")!.data]);
    }
    return weights;
  } finally {
    session.dispose();
  }
}

/** Twelve steps of a hundredth, each with a dozen roundings of a number around one: 12 · 12 · 2^−24 at worst. */
const expectWeights = (found: readonly number[], expected: readonly number[]): void =>
  expectClose(found, expected, (v) => 8.6e-6 * Math.max(1, Math.abs(v)), "weight");

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  it.each([0, 0.1])("AdamW with decay %f", async (decay) => {
    const [beta1, beta2, eps, rate, factor] = [0.9, 0.95, 1e-8, 0.01, 0.5];
    const settings = (t: number): number[] => [rate / t, decay, 1 - beta1 ** t, 1 - beta2 ** t, factor];
    const found = await runSteps(device, stepGraph("adamw", { beta1, beta2, eps }, ["w", "m", "v"], 5), settings);
    const [w, m, v] = [draw(0), new Array<number>(COUNT).fill(0), new Array<number>(COUNT).fill(0)];
    for (let t = 1; t <= STEPS; t++) {
      draw(t).forEach((gradient, i) => {
        const g = gradient * factor;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        const [meanHat, squareHat] = [m[i] / (1 - beta1 ** t), v[i] / (1 - beta2 ** t)];
        w[i] = w[i]! - (rate / t) * (meanHat / (Math.sqrt(squareHat) + eps) + decay * w[i]!);
      });
      expectWeights(found[t - 1]!, w);
    }
  });

  it.each([
    [0, 0, false],
    [0.9, 0.05, false],
    [0.9, 0.05, true],
  ])("gradient descent with momentum %f, decay %f, Nesterov's %s", async (momentum, decay, nesterov) => {
    const [rate, factor] = [0.01, 0.5];
    const found = await runSteps(device, stepGraph("sgd", { momentum, nesterov }, ["w", "m"], 3), () => [
      rate,
      decay,
      factor,
    ]);
    const [w, m] = [draw(0), new Array<number>(COUNT).fill(0)];
    for (let t = 1; t <= STEPS; t++) {
      draw(t).forEach((gradient, i) => {
        const g = factor * gradient + decay * w[i]!;
        m[i] = momentum * m[i]! + g;
        w[i] = w[i]! - rate * (nesterov ? g + momentum * m[i] : m[i]);
      });
      expectWeights(found[t - 1]!, w);
    }
  });
});
