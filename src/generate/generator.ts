// A model that generates, on a device: two programs with their weights and caches, which one generation at a time uses.
import type { Generation } from "../program/generation.js";
import { type Device, type DeviceLostError, InputError, openDevice, RuntimeError } from "../runtime/index.js";
import { isResponse } from "../runtime/weights.js";
import { openResponse } from "../runtime/weights/fetched.js";
import { checkOptions, checkPrompts, type Limits } from "./check.js";
import { samplingTables } from "./options.js";
import { leave, type Place, placeOn } from "./place.js";
import { Run } from "./run.js";
import type { GeneratedToken, GenerateOptions, GeneratorOptions, Summary, WeightsInput } from "./types.js";

/**
 * Puts a compiled generation and its weights on a device. Both programs read the same weights and the same caches.
 * Throws what `load` throws, and InputError for an option that is none.
 */
export async function createGenerator(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: GeneratorOptions = {},
): Promise<Generator> {
  const limits = checkOptions(generation, options);
  // Both programs read them, and another device may.
  const opened = isResponse(weights) ? await openResponse(weights, { keep: true, signal: options.signal }) : null;
  try {
    const place = await placeOn(generation, device, opened ?? weights, limits, options);
    if (opened && !elsewhere(options)) await opened.close();
    return new Generator(place, limits, opened ?? weights, options, () => opened?.close());
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

/** What opens another device in place of a lost one; null where nothing does. */
const elsewhere = ({ recover, weightsOf }: GeneratorOptions): NonNullable<GeneratorOptions["recover"]> | null =>
  recover === undefined && !weightsOf ? async () => ({ device: await openDevice() }) : (recover ?? null);

export class Generator {
  readonly #limits: Limits;
  readonly #weights: WeightsInput | undefined;
  readonly #options: GeneratorOptions;
  readonly #closeWeights: () => unknown;
  #place: Place;
  /** The device that it opened itself, in place of one that was lost. */
  #own: Device | null = null;
  #busy = false;
  #summary: Summary | null = null;
  #run: Run | null = null;

  /** Use `createGenerator`. */
  constructor(
    place: Place,
    limits: Limits,
    weights: WeightsInput | undefined,
    options: GeneratorOptions,
    closeWeights: () => unknown,
  ) {
    this.#place = place;
    this.#limits = limits;
    this.#weights = weights;
    this.#options = options;
    this.#closeWeights = closeWeights;
  }

  get generation(): Generation {
    return this.#place.generation;
  }

  /** Where it runs: another one after that was lost. */
  get device(): Device {
    return this.#place.device;
  }

  /** Of both sessions together. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    const [a, b] = [this.#place.prompt.memory, this.#place.step.memory];
    return { buffers: a.buffers + b.buffers, bytes: a.bytes + b.bytes };
  }

  /** Of the last generation, as far as it came; null before the first. */
  get summary(): Summary | null {
    return this.#summary;
  }

  /**
   * Continues each prompt, tokens in the order in which they are known; several sequences take turns. One generation at
   * a time: another may begin when this one has ended, or its iterator was left. Where the device is lost it goes on
   * from another (`recover`). Throws InputError for a prompt that is empty, holds what is no token or is longer than
   * the context.
   */
  async *generate(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, Summary> {
    const most = checkPrompts(this.generation, prompts, options);
    const sampling = samplingTables(options.sampling ?? {}, prompts.length, this.generation.vocabulary);
    if (this.#busy) throw busy();
    this.#busy = true;
    const run = (this.#run = new Run(this.#place, this.#limits, { prompts, most, options, sampling }, (lost) =>
      this.#goElsewhere(lost, options.signal),
    ));
    try {
      yield* run.tokens();
    } finally {
      await run.end();
      this.#summary = run.summary();
      this.#busy = false;
    }
    return this.#summary;
  }

  /**
   * Of the last generation: for each route of its summary, the positions of the tokens that took it, by sequence; null
   * for a route of which nothing is kept, as no attention lies on it. Of a sequence that has ended only those of its
   * text, not what steps computed that were under way then.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    return this.#run === null ? [] : this.#run.taken();
  }

  /** Another device with the weights, for one that was lost; what tells of it once the caches are as they were. */
  async #goElsewhere(
    lost: DeviceLostError,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly place: Place; readonly recovered: (tokens: number) => void }> {
    const { recover: _, onRecovered, weightsOf: __, ...options } = this.#options;
    const open = elsewhere(this.#options);
    if (!open) throw lost;
    const began = performance.now();
    try {
      const { device, generation = this.generation } = await open(lost);
      this.#own?.destroy();
      this.#own = device;
      const place = await placeOn(expectSame(generation, this.generation), device, this.#weights, this.#limits, {
        ...options,
        ...(signal && { signal }),
      });
      leave(this.#place);
      this.#place = place;
      return {
        place,
        recovered: (tokens) => onRecovered?.({ lost, device, tokens, milliseconds: performance.now() - began }),
      };
    } catch (cause) {
      if (signal?.aborted) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new RuntimeError("device-lost", `${lost.message}, and no other can go on: ${reason}`, {
        hint: cause instanceof RuntimeError ? cause.hint : null,
        cause,
      });
    }
  }

  dispose(): void {
    leave(this.#place);
    this.#own?.destroy();
    this.#closeWeights();
  }
}

const busy = (): InputError =>
  new InputError(
    null,
    "the generator is busy with another generation",
    "leave its iterator first, or make another generator",
  );

/** Throws InputError for another model. */
function expectSame(generation: Generation, before: Generation): Generation {
  const shape = ({ vocabulary, context, axes, layers }: Generation): string =>
    JSON.stringify([vocabulary, context, axes, layers]);
  if (shape(generation) !== shape(before))
    throw new InputError("recover", "the generation to go on with is of another model");
  return generation;
}
