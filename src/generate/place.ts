// Where a generation runs: its two programs on a device, with weights and caches that both read.
import type { Generation } from "../program/generation.js";
import type { ProgramWeight } from "../program/program.js";
import { type Device, load, type Session } from "../runtime/index.js";
import { locateWeights, type WeightValues } from "../runtime/weights.js";
import type { Words } from "../base/dtype.js";
import { Capacity } from "./capacity.js";
import type { Limits } from "./check.js";
import type { GeneratorOptions, WeightsInput } from "./types.js";

export interface Place {
  readonly generation: Generation;
  readonly device: Device;
  readonly prompt: Session;
  readonly step: Session;
}

/** Tokens of a prompt, to guess which kernels it needs: most are of a length at which the same do. */
const LIKELY_PROMPT = 32;

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
    likely: { ...max, [tokenAxis]: Math.min(chunk, LIKELY_PROMPT) },
  });
  const own = new LateWeights(() => locateWeights(generation.step, weights, seed ?? 0, signal));
  try {
    const step = await load(generation.step, device, (weight) => own.values(weight), {
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
    await own.close();
  }
}

/**
 * Of a program that finds its weights on the device, as a rule all: opened when one is asked for. They are those that
 * the other program fits.
 */
class LateWeights {
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

export function leave({ prompt, step }: Place): void {
  step.dispose();
  prompt.dispose();
}
