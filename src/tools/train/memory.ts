// The memory of training on the device.
import { countOf } from "../../ground/base/collections.js";
import type { Program } from "../../runtime/program/program.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { memoryOf } from "../../runtime/index.js";
import { sharedWeightBytes } from "../../runtime/steps/shared-weights.js";
import { IN_FLIGHT, type Rule } from "./types.js";

/** The programs of a trainer. */
interface TrainerPrograms {
  readonly step: Program;
  readonly accumulate: Program | null;
  readonly evaluate: Readonly<Record<Rule, Program>>;
}

/**
 * The most bytes that a trainer takes on the device: of all programs, which share the step's states and weights, and of
 * the staging buffer for checkpoints. `live`: the largest values of live parameters.
 */
export function bytesOf(
  { step, accumulate, evaluate }: TrainerPrograms,
  extents: ReadonlyMap<string, number>,
  live: Readonly<Record<string, number>> = {},
): number {
  const max = Object.fromEntries(extents);
  const others = new Set([...(accumulate ? [accumulate] : []), ...Object.values(evaluate)]);
  const own = [...others].map((program: Program) => {
    const { total, states } = memoryOf(program, { max, live, inFlight: program === accumulate ? IN_FLIGHT : 1 });
    return total - states - sharedWeightBytes(program, step);
  });
  const { total, reading } = memoryOf(step, { max, live, inFlight: IN_FLIGHT });
  return total + reading + own.reduce((sum, bytes) => sum + bytes, 0);
}

/** The bytes of frozen weights in their storage type, and in f32, as a sentence. */
export function storedNote(
  { step, stored }: Pick<TrainerPrograms, "step"> & { readonly stored: ReadonlySet<string> },
  type: string,
): string {
  if (stored.size === 0) return `no frozen weight can be decoded from ${type}: all are f32`;
  const weights = step.weights.filter(({ path }) => stored.has(path));
  const whole = weights.reduce((sum, { shape }) => sum + 4 * countOf(shape), 0);
  const slots = new Set(weights.flatMap((w) => w.slots.map(({ slot }) => slot)));
  const bytes = [...slots].reduce((sum, slot) => sum + Number(step.slots[slot]!.bytes), 0);
  return `the frozen weights take ${formatBytes(bytes)} in ${type}, instead of ${formatBytes(whole)} in f32`;
}
