// Where a generation runs: its two programs on a device, with weights and caches that both read.
import type { Generation } from "../program/generation.js";
import { type Device, load, type Session } from "../runtime/index.js";
import { Capacity } from "./capacity.js";
import type { Limits } from "./check.js";
import type { GeneratorOptions, WeightsInput } from "./types.js";

export interface Place {
  readonly generation: Generation;
  readonly device: Device;
  readonly prompt: Session;
  readonly step: Session;
}

/** Loads both programs, or leaves nothing behind. Throws what `load` throws. */
export async function placeOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  { chunk, ahead }: Limits,
  { live, seed, signal, onProgress, weightsOf }: GeneratorOptions,
): Promise<Place> {
  const { batchAxis, tokenAxis, sequenceAxis } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, ...new Capacity(generation, 1, 1).extents };
  const shared = { ...(live && { live }), ...(seed !== undefined && { seed }), ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const prompt = await load(generation.prompt, device, weights, {
    ...shared,
    compile: "run",
    ...(weightsOf && { weightsOf }),
    max: { ...max, [tokenAxis]: chunk },
  });
  try {
    const step = await load(generation.step, device, weights, {
      ...shared,
      compile: "run",
      max: { ...max, [tokenAxis]: 1 },
      statesOf: prompt,
      weightsOf: prompt,
      inFlight: ahead,
    });
    return { generation, device, prompt, step };
  } catch (error) {
    prompt.dispose();
    throw error;
  }
}

export function leave({ prompt, step }: Place): void {
  step.dispose();
  prompt.dispose();
}
