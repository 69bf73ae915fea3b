// A model that generates, on a device: two programs with their weights and caches, which one generation at a time uses.
import type { Generation } from "../program/generation.js";
import { type Device, InputError, load, type Session } from "../runtime/index.js";
import { Capacity } from "./capacity.js";
import { checkOptions, checkPrompts, type Limits } from "./check.js";
import { samplingTables } from "./options.js";
import { Run } from "./run.js";
import type { GeneratedToken, GenerateOptions, GeneratorOptions, Summary, WeightsInput } from "./types.js";

/**
 * Puts a compiled generation and its weights on a device. Both programs read the same weights and the same caches. Throws what `load` throws, and InputError for an option
 * that is none.
 */
export async function createGenerator(generation: Generation, device: Device, weights?: WeightsInput, options: GeneratorOptions = {}): Promise<Generator> {
  const limits = checkOptions(generation, options);
  const { batchAxis, tokenAxis, sequenceAxis } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, ...new Capacity(generation, 1, 1).extents };
  const { live, seed, signal, onProgress, weightsOf } = options;
  const shared = { ...(live && { live }), ...(seed !== undefined && { seed }), ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const prompt = await load(generation.prompt, device, weights, { ...shared, ...(weightsOf && { weightsOf }), max: { ...max, [tokenAxis]: limits.chunk } });
  try {
    const step = await load(generation.step, device, weights, {
      ...shared,
      max: { ...max, [tokenAxis]: 1 },
      statesOf: prompt,
      weightsOf: prompt,
      inFlight: limits.ahead,
    });
    return new Generator(generation, { prompt, step }, limits);
  } catch (error) {
    prompt.dispose();
    throw error;
  }
}

export class Generator {
  readonly generation: Generation;
  readonly #prompt: Session;
  readonly #step: Session;
  readonly #limits: Limits;
  #busy = false;
  #summary: Summary | null = null;
  #run: Run | null = null;

  /** Use `createGenerator`. */
  constructor(generation: Generation, { prompt, step }: { readonly prompt: Session; readonly step: Session }, limits: Limits) {
    this.generation = generation;
    this.#prompt = prompt;
    this.#step = step;
    this.#limits = limits;
  }

  get device(): Device {
    return this.#prompt.device;
  }

  /** Of both sessions together. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    const [a, b] = [this.#prompt.memory, this.#step.memory];
    return { buffers: a.buffers + b.buffers, bytes: a.bytes + b.bytes };
  }

  /** Of the last generation, as far as it came; null before the first. */
  get summary(): Summary | null {
    return this.#summary;
  }

  /**
   * Continues each prompt, tokens in the order in which they are known; several sequences take turns. One generation at a time: another may begin when this one has ended, or its
   * iterator was left. Throws InputError for a prompt that is empty, holds what is no token or is longer than the context.
   */
  async *generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions = {}): AsyncGenerator<GeneratedToken, Summary> {
    const most = checkPrompts(this.generation, prompts, options);
    const sampling = samplingTables(options.sampling ?? {}, prompts.length, this.generation.vocabulary);
    if (this.#busy) throw busy();
    this.#busy = true;
    const run = (this.#run = new Run(this.generation, { prompt: this.#prompt, step: this.#step }, this.#limits, { prompts, most, options, sampling }));
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
   * Of the last generation: for each route of its summary, the positions of the tokens that took it, by sequence; null for a route of which nothing is kept, as no attention lies on
   * it. Tokens that were computed after the end of their sequence are among them.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    return this.#run === null ? [] : this.#run.taken();
  }

  dispose(): void {
    this.#step.dispose();
    this.#prompt.dispose();
  }
}

const busy = (): InputError => new InputError(null, "the generator is busy with another generation", "leave its iterator first, or make another generator");
