// Expected training steps in f64, by the reference evaluator; cached on disk, as they take minutes.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { deserialize, serialize } from "node:v8";
import { FOLLOWS, momentState, RATES } from "../../src/compiler/autodiff/train-step.js";
import type { Graph } from "../../src/compiler/ir/graph.js";
import { printGraph } from "../../src/compiler/ir/print.js";
import type { Tensor } from "../../src/compiler/ops/define.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { difference } from "../expected.js";
import type { Standing, TrainData } from "./protocol.js";
import { corrections } from "./trainee.js";

/** Number of steps that every peer is checked against. */
export const CHECKED_STEPS = 3;

export interface Expected {
  readonly losses: readonly number[];
  /** First moments after one step. */
  readonly moments: readonly (readonly [string, Float64Array])[];
  /** After all of them. */
  readonly weights: readonly (readonly [string, Float64Array])[];
}

const folder = fileURLToPath(new URL("../.work/", import.meta.url));

/** `step` is the graph of a step as modc compiles it. */
export function expectedSteps(step: Graph, data: TrainData): Expected {
  const hash = createHash("sha256").update(printGraph(step)).update(JSON.stringify(data.settings));
  for (const [path, { data: values }] of data.weights) hash.update(path).update(bytesOf(values));
  for (const { tokens, targets } of data.batches) hash.update(bytesOf(tokens)).update(bytesOf(targets));
  const path = `${folder}${data.id}-${hash.digest("hex").slice(0, 16)}.steps`;
  if (existsSync(path)) return deserialize(readFileSync(path)) as Expected; // written below
  const made = computeSteps(step, data);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, serialize(made));
  return made;
}

const bytesOf = (values: Float32Array | Uint32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** By the reference, anew. */
export function computeSteps(step: Graph, data: TrainData): Expected {
  const { B, T, settings } = data;
  const paths = data.weights.map(([path]) => path);
  let states: ReadonlyMap<string, Tensor> = new Map(
    data.weights.map(([path, { shape, data: values }]): [string, Tensor] => [
      path,
      { dtype: "f32", shape, data: Float64Array.from(values) },
    ]),
  );
  const read = (name: (path: string) => string): [string, Float64Array][] =>
    paths.map((path) => [path, Float64Array.from(states.get(name(path))!.data)]);
  const losses: number[] = [];
  let moments: Expected["moments"] = [];
  for (let i = 0; i < CHECKED_STEPS; i++) {
    const { tokens, targets } = data.batches[i % data.batches.length]!;
    const rates = Float64Array.of(settings.learningRate, settings.decay, ...corrections(data, i + 1));
    const inputs = new Map([
      ["tokens", { shape: [B, T], data: tokens }],
      ["targets", { shape: [B, T], data: targets }],
      [RATES, { shape: [rates.length], data: rates }],
      [FOLLOWS, { shape: [], data: Float64Array.of(0) }],
    ]);
    const result = evaluate(step, { inputs, weights: new Map(paths.map((path) => [path, states.get(path)!])), states });
    losses.push(result.outputs.get("loss")!.data[0]!);
    states = result.states;
    if (i === 0) moments = read((path) => momentState("m", path));
  }
  return { losses, moments, weights: read((path) => path) };
}

/** Above the errors of 32-bit arithmetic in a step (1e-6 to 1e-5), far below any mistake. */
export const STEP_TOLERANCE = 1e-4;
/**
 * AdamW divides by the size of a gradient: where that is as small as rounding errors, a step may have either sign. So
 * for weights the mean difference is compared with the learning rate.
 */
export const WEIGHT_TOLERANCE = 1e-2;

export interface Differences {
  /** Of the losses of all steps, relative; the largest. */
  readonly loss: number;
  /** Of the clipped gradients of the first step, over the largest of each weight; the largest. */
  readonly gradient: number;
  /** Of the weights after all steps, the mean over each weight, in learning rates; the largest. */
  readonly weight: number;
}

/** The largest is infinite where a number is none. */
export function differencesOf(
  wanted: Expected,
  losses: readonly number[],
  first: Standing,
  last: Standing,
  learningRate: number,
): Differences {
  const worst = (values: readonly number[]): number =>
    values.reduce((a, b) => (b <= a ? a : Number.isNaN(b) ? Infinity : b), 0);
  const each = (
    found: Standing["weights"],
    exact: Expected["weights"],
    measure: (a: Float32Array, b: Float64Array) => number,
  ): number => {
    const byPath = new Map(found);
    return worst(exact.map(([path, values]) => measure(byPath.get(path) ?? new Float32Array(), values)));
  };
  return {
    loss: worst(wanted.losses.map((loss, i) => Math.abs((losses[i] ?? NaN) / loss - 1))),
    gradient: each(first.moments, wanted.moments, (a, b) => difference(a, b)),
    weight: each(
      last.weights,
      wanted.weights,
      (a, b) => b.reduce((sum, value, i) => sum + Math.abs((a[i] ?? NaN) - value), 0) / b.length / learningRate,
    ),
  };
}
