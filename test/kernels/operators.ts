// Runs the samples of every operator on a device and compares each result with its reference evaluation.
import { beforeAll, describe, expect, it } from "vitest";
import { emit } from "../../src/codegen/emit.js";
import type { OpName } from "../../src/ir/vocabulary.js";
import { evaluate } from "../../src/reference/evaluate.js";
import { roundHalf } from "../../src/ops/tensors.js";
import type { ProgramWeight } from "../../src/program/program.js";
import { type Device, load, type Results } from "../../src/runtime/index.js";
import { schedule } from "../../src/schedule/schedule.js";
import type { Tunings } from "../../src/schedule/tunings/index.js";
import type { DType } from "../../src/base/dtype.js";
import { testDevice, type TestDevice } from "../device.js";
import type { Case } from "../ops/bench.js";
import { caseOf, samples } from "../ops/samples.js";
import { tolerances } from "./tolerances.js";

/** Operators whose kernels a software device compiles for seconds. */
const SLOW: ReadonlySet<OpName> = new Set<OpName>(["attention", "attention_kept", "attention_grad", "sample"]);

/** One test for each sample of each operator; of those that compile slowly every third on SwiftShader, unless SOAK is set. */
export function describeOperators(which: TestDevice): void {
  const thin = which === "swiftshader" && !process.env["SOAK"];
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });
  for (const [name, list] of Object.entries(samples)) {
    const op = name as OpName; // a key of the total table
    describe(op, () => {
      const chosen = list.filter((_, i) => !thin || !SLOW.has(op) || i % 3 === 0);
      it.each(chosen.map((sample) => [sample.name, sample] as const))("%s", async (_name, sample) => {
        await compareOnDevice(device, op, caseOf(op, sample));
      });
    });
  }
}

/** Results of a case on the device, by name, compiled for it and by its tunings unless others are given. */
export async function runOnDevice(device: Device, { graph, options }: Case, target = device.target, tunings?: Tunings): Promise<Results> {
  const weights = ({ path, dtype }: ProgramWeight): Float32Array =>
    Float32Array.from(options.weights.get(path)!.data, (v) => (dtype === "f16" ? roundHalf(v) : v));
  const session = await load(emit(schedule(graph, target, tunings)), device, weights, { seed: options.seed ?? 0 });
  try {
    const inputs = new Map([...options.inputs].map(([name, value]) => [name, shaped(value)]));
    return await session.run(inputs, options.lengths === undefined ? {} : { lengths: Uint32Array.from(options.lengths) });
  } finally {
    session.dispose();
  }
}

/** Fails where a result is further from the reference than the operator's tolerance. */
export async function compareOnDevice(device: Device, op: OpName, { graph, options }: Case, target = device.target, tunings?: Tunings): Promise<void> {
  const results = await runOnDevice(device, { graph, options }, target, tunings);
  for (const [name, expected] of evaluate(graph, options).outputs) {
    const result = results[name]!;
    expect(result.shape, `shape of ${name}`).toEqual(expected.shape);
    expect(farthest(op, expected.dtype, result.data, expected.data)).toBeNull();
  }
}

function shaped(value: Case["options"]["inputs"] extends ReadonlyMap<string, infer V> ? V : never): { data: number[]; shape: readonly number[] } {
  const { shape, data } = value as { shape: readonly number[]; data: ArrayLike<number> }; // the bench gives inputs so
  return { data: Array.from(data), shape };
}

/** The element that is too far off, by the most; null where none is. */
function farthest(op: OpName, dtype: DType, device: ArrayLike<number>, reference: ArrayLike<number>): string | null {
  const { relative, absolute } = tolerances[op];
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
  return worst === null ? null : `element ${worst.at} of ${reference.length}: ${device[worst.at]!} on the device, ${reference[worst.at]!} in the reference`;
}

/** Whether two f16 values are the same, or no f16 value lies between them. */
const areNeighbours = (a: number, b: number): boolean => roundHalf((a + b) / 2) === a || roundHalf((a + b) / 2) === b;
