// Runs the samples of every operator on a device and compares each result with its reference evaluation.
import { beforeAll, describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import { nodesOf, type Graph } from "../../src/compiler/ir/graph.js";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import { evaluate, type Evaluation } from "../../src/compiler/reference/evaluate.js";
import { roundToF16 } from "../../src/ground/base/f16.js";
import type { ProgramWeight } from "../../src/runtime/program/program.js";
import { type Device, load, type Results } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import type { Tunings } from "../../src/compiler/schedule/tunings/index.js";
import type { Precision } from "../../src/runtime/program/target.js";
import type { DType } from "../../src/ground/base/dtype.js";
import { testDevice, type TestDevice } from "../device.js";
import type { Case } from "../compiler/ops/bench.js";
import { comparisonSamples } from "../compiler/ops/samples-comparisons.js";
import { pointwiseSamples } from "../compiler/ops/samples-pointwise.js";
import { caseOf, samples, type Sample } from "../compiler/ops/samples.js";
import { byTurns, soaking } from "../soak.js";

/** Operators whose kernels SwiftShader compiles for seconds, with the samples that the short run has of them there. */
const SLOW: { readonly [K in OpName]?: readonly string[] } = {
  attention: ["causal, unequal lengths", "f16"],
  attention_kept: ["causal, unequal lengths"],
  attention_grad: ["causal, unequal lengths"],
  received: ["causal, unequal lengths"],
  sample: [],
};

/**
 * Operators of which the default device's short run has every `nth` sample, by turns: pointwise ones, which share their
 * samples and the code that these are for, and those of attention, whose kernels are the largest.
 */
const TURNS: ReadonlyMap<string, number> = new Map([
  ...Object.keys({ ...pointwiseSamples, ...comparisonSamples }).map((op) => [op, 3] as const),
  ...(["attention", "attention_kept", "attention_grad", "received"] as const).map((op) => [op, 3] as const),
]);

/** The samples of an operator in this run. On SwiftShader the short one has every fourth, and those that hold f16. */
function chosenOf(which: TestDevice, op: OpName, list: readonly Sample[]): readonly Sample[] {
  if (soaking) return list;
  if (which === "default") return byTurns(list, TURNS.get(op) ?? 1, [...TURNS.keys()].indexOf(op) + 1);
  const some = SLOW[op];
  if (some) {
    for (const sample of some) expect(list.map((c) => c.name)).toContain(sample);
    return list.filter((sample) => some.includes(sample.name));
  }
  return list.filter((sample, i) => i % 4 === 0 || holdsHalves(caseOf(op, sample).graph));
}

/** One test for each chosen sample of each operator. */
export function describeOperators(which: TestDevice): void {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });
  for (const [name, { list }] of Object.entries(samples)) {
    const op = name as OpName; // a key of the total table
    const chosen = chosenOf(which, op, list);
    if (chosen.length > 0)
      describe(op, () => {
        it.each(chosen.map((sample) => [sample.name, sample] as const))("%s", async (_name, sample) => {
          await compareOnDevice(device, op, caseOf(op, sample));
        });
      });
  }
}

const holdsHalves = (graph: Graph): boolean =>
  nodesOf(graph).some((node) => node.types.some(({ dtype }) => dtype === "f16"));

/** Results of a case on the device, by name, compiled for it and by its tunings unless others are given. */
export async function runOnDevice(
  device: Device,
  { graph, options }: Case,
  target = device.target,
  tunings?: Tunings,
  precision: Precision = {},
): Promise<Results> {
  const weights = ({ path, dtype }: ProgramWeight): Float32Array =>
    Float32Array.from(options.weights.get(path)!.data, (v) => (dtype === "f16" ? roundToF16(v) : v));
  const session = await load(emit(schedule(graph, target, tunings, precision)), device, weights, {
    seed: options.seed ?? 0,
  });
  try {
    const inputs = new Map([...options.inputs].map(([name, value]) => [name, shaped(value)]));
    return await session.run(inputs, options.lengths === undefined ? {} : { lengths: options.lengths });
  } finally {
    session.dispose();
  }
}

/** Fails where a result is further from the reference than the operator's tolerance. */
export async function compareOnDevice(
  device: Device,
  op: OpName,
  { graph, options }: Case,
  target = device.target,
  tunings?: Tunings,
): Promise<void> {
  const results = await runOnDevice(device, { graph, options }, target, tunings);
  for (const [name, expected] of wantedOf(graph, options).outputs) {
    const result = results[name]!;
    expect(result.shape, `shape of ${name}`).toEqual(expected.shape);
    expect(farthest(op, expected.dtype, result.data, expected.data)).toBeNull();
  }
}

const evaluated = new WeakMap<Case["graph"], { readonly options: Case["options"]; readonly evaluation: Evaluation }>();

/** The reference of a case, evaluated once for all tunings that are tried one after the other. */
function wantedOf(graph: Case["graph"], options: Case["options"]): Evaluation {
  const known = evaluated.get(graph);
  if (known?.options === options) return known.evaluation;
  const evaluation = evaluate(graph, options);
  evaluated.set(graph, { options, evaluation });
  return evaluation;
}

function shaped(value: Case["options"]["inputs"] extends ReadonlyMap<string, infer V> ? V : never): {
  data: number[];
  shape: readonly number[];
} {
  const { shape, data } = value as { shape: readonly number[]; data: ArrayLike<number> }; // the bench gives inputs so
  return { data: Array.from(data), shape };
}

/** The element that is too far off, by the most; null where none is. */
function farthest(op: OpName, dtype: DType, device: ArrayLike<number>, reference: ArrayLike<number>): string | null {
  const { relative, absolute } = samples[op].tolerance;
  let worst: { readonly at: number; readonly excess: number } | null = null;
  for (let i = 0; i < reference.length; i++) {
    const [d, r] = [device[i]!, reference[i]!];
    const single = dtype === "f32" ? Math.fround(r) : r;
    if (Object.is(d, single) || d === single) continue;
    if (dtype === "f16" && areNeighbours(d, r)) continue;
    const allowed = dtype === "f32" ? absolute + relative * Math.abs(r) : 0;
    const off = Math.abs(d - r);
    const excess = Number.isNaN(off) || off === Infinity ? Infinity : off / Math.max(allowed, Number.MIN_VALUE);
    if (excess > 1 && (worst === null || excess > worst.excess)) worst = { at: i, excess };
  }
  return worst === null
    ? null
    : `element ${worst.at} of ${reference.length}: ${device[worst.at]!} on the device, ${reference[worst.at]!} in ` +
        "the reference";
}

/** Whether two f16 values are the same, or no f16 value lies between them. */
const areNeighbours = (a: number, b: number): boolean => roundToF16((a + b) / 2) === a || roundToF16((a + b) / 2) === b;
