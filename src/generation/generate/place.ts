// Loads the two programs of a generation onto a device, with shared weights and caches.
import type { Generation } from "../../runtime/program/generation.js";
import type { ProgramWeight } from "../../runtime/program/program.js";
import { type Device, load, type Session } from "../../runtime/index.js";
import { locateWeights, type WeightValues } from "../../runtime/weights/weights.js";
import type { Words } from "../../ground/base/dtype.js";
import { Capacity } from "./capacity.js";
import type { Limits } from "./check.js";
import type { GeneratorOptions, WeightsInput } from "./types.js";

export interface Place {
  readonly generation: Generation;
  readonly device: Device;
  readonly prompt: Session;
  readonly step: Session;
}

/** The assumed prompt length for compiling kernels in advance: most lengths select the same kernels. */
const LIKELY_PROMPT_LENGTH = 32;

/** Loads both programs; frees everything if one fails. `caches`: extents of the axes of caches. Throws what `load` throws. */
export async function placeOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  { chunk, ahead }: Limits,
  { live, seed, signal, onProgress, weightsOf }: GeneratorOptions,
  caches: Readonly<Record<string, number>> = new Capacity(generation, 1, 1).extents,
): Promise<Place> {
  const { batchAxis, tokenAxis, sequenceAxis } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, ...caches };
  const shared = {
    ...(live && { live }),
    ...(seed !== undefined && { seed }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  };
  const prompt = await load(generation.prompt, device, weights, {
    ...shared,
    compile: "run",
    ...(weightsOf && { weightsOf }),
    max: { ...max, [tokenAxis]: chunk },
    likely: { ...max, [tokenAxis]: Math.min(chunk, LIKELY_PROMPT_LENGTH) },
  });
  const stepWeights = new LazyWeights(() => locateWeights(generation.step, weights, seed ?? 0, signal));
  try {
    const step = await load(generation.step, device, (weight) => stepWeights.values(weight), {
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
  } finally {
    await stepWeights.close();
  }
}

/**
 * Weights of the step program, which usually shares all of them with the prompt program: opened only when one is
 * requested.
 */
class LazyWeights {
  #opened: Promise<WeightValues> | null = null;

  constructor(private readonly open: () => Promise<WeightValues>) {}

  async values(weight: ProgramWeight): Promise<Words> {
    return (await (this.#opened ??= this.open())).values(weight);
  }

  async close(): Promise<void> {
    const [opened] = await Promise.allSettled(this.#opened ? [this.#opened] : []);
    if (opened?.status === "fulfilled") await opened.value.close();
  }
}

export function disposePlace({ prompt, step }: Place): void {
  step.dispose();
  prompt.dispose();
}
