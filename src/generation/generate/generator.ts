// A generator: a model's prompt and step programs on a device with weights and caches, for one generation at a time.
import type { Generation } from "../../runtime/program/generation.js";
import { type Device, type DeviceLostError, InputError, openDevice } from "../../runtime/index.js";
import { isResponse } from "../../runtime/weights/input.js";
import { openResponse } from "../../runtime/weights/fetched.js";
import { checkOptions, checkPrompts, expectOptions, type Limits } from "../engine/check.js";
import { disposePlace, type Place, placeOn } from "../engine/place.js";
import { noOtherDevice } from "../engine/no-other-device.js";
import { withBiases } from "../sampling/constrained.js";
import { samplingTables } from "../sampling/options.js";
import type { GeneratedToken, GenerateOptions, GeneratorOptions, Summary, WeightsInput } from "../types.js";
import { Capacity } from "./capacity.js";
import { Run } from "./run.js";

/**
 * Loads a compiled generation and its weights onto a device. Both programs share weights and caches. Throws what `load`
 * throws, and InputError for an unknown option.
 */
export async function createGenerator(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: GeneratorOptions = {},
): Promise<Generator> {
  if (typeof generation?.prompt !== "object")
    throw new InputError(
      "generation",
      "the first argument of createGenerator is not a generation",
      "give the `generation` that compileGeneration returns, which is null if the source has errors",
    );
  expectOptions(options);
  const limits = checkOptions(generation, options);
  // Keep the response: both programs read the weights, and so does a replacement device.
  const opened = isResponse(weights) ? await openResponse(weights, { keep: true, signal: options.signal }) : null;
  try {
    const place = await loadOn(generation, device, opened ?? weights, limits, options);
    if (opened && !replacementOf(options)) await opened.close();
    return new Generator(place, limits, opened ?? weights, options, () => opened?.close());
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

/** Loads both programs, with room for one token. */
const loadOn = (
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  limits: Limits,
  options: GeneratorOptions,
): Promise<Place> => {
  const caches = { loading: new Capacity(generation, 1, 1).extents };
  return placeOn(generation, device, weights, caches, { ...options, ...limits, drafts: false });
};

/** The function that opens a replacement for a lost device; null if there is none. */
const replacementOf = ({ recover, weightsOf }: GeneratorOptions): NonNullable<GeneratorOptions["recover"]> | null =>
  recover === undefined && !weightsOf ? async () => ({ device: await openDevice() }) : (recover ?? null);

export class Generator {
  readonly #limits: Limits;
  readonly #weights: WeightsInput | undefined;
  readonly #options: GeneratorOptions;
  readonly #closeWeights: () => unknown;
  #place: Place;
  /** The replacement device that the generator opened, which it must destroy. */
  #replacementDevice: Device | null = null;
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

  /** The current device; a replacement after a loss. */
  get device(): Device {
    return this.#place.device;
  }

  /** Memory of both sessions. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    const [a, b] = [this.#place.prompt.memory, this.#place.step.memory];
    return { buffers: a.buffers + b.buffers, bytes: a.bytes + b.bytes };
  }

  /** Summary of the last generation, perhaps incomplete; null before the first. */
  get summary(): Summary | null {
    return this.#summary;
  }

  /**
   * Continues each prompt, and yields the tokens of all sequences in the order of generation. One generation at a time:
   * the next may begin when this one has ended or its iterator was closed. After the loss of the device it continues on
   * another one (`recover`). Throws InputError for a prompt that is empty, contains an invalid token, or exceeds the
   * context.
   */
  async *generate(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, Summary> {
    const most = checkPrompts(this.generation, prompts, options);
    const own = samplingTables(options.sampling ?? {}, prompts.length, this.generation.vocabulary);
    const sampling = options.constraints ? withBiases(own) : own;
    if (this.#busy) throw busy();
    this.#busy = true;
    const run = (this.#run = new Run(
      this.#place,
      this.#limits,
      { prompts, maxTokens: most, options, sampling },
      (lost) => this.#openReplacement(lost, options.signal),
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
   * For each route of the last generation's summary, the positions of the tokens that took it, by sequence; null for a
   * route without attention, which has no cache, and with caches of the last loop alone for a route of loops, whose
   * cache does not keep them. For a sequence that has ended, excludes tokens computed by steps that
   * were still in flight.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    return this.#run === null ? [] : this.#run.taken();
  }

  /**
   * Opens a replacement device and loads the weights; returns it with the callback to call once the caches are
   * restored.
   */
  async #openReplacement(
    lost: DeviceLostError,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly place: Place; readonly recovered: (tokens: number) => void }> {
    const { recover: _, onRecovered, weightsOf: __, ...options } = this.#options;
    const open = replacementOf(this.#options);
    if (!open) throw lost;
    const began = performance.now();
    try {
      const { device, generation = this.generation } = await open(lost);
      this.#replacementDevice?.destroy();
      this.#replacementDevice = device;
      const place = await loadOn(expectSame(generation, this.generation), device, this.#weights, this.#limits, {
        ...options,
        ...(signal && { signal }),
      });
      disposePlace(this.#place);
      this.#place = place;
      return {
        place,
        recovered: (tokens) => onRecovered?.({ lost, device, tokens, milliseconds: performance.now() - began }),
      };
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw noOtherDevice(lost, cause);
    }
  }

  dispose(): void {
    disposePlace(this.#place);
    this.#replacementDevice?.destroy();
    this.#closeWeights();
  }
}

const busy = (): InputError =>
  new InputError(
    null,
    "the generator is busy with another generation",
    "leave its iterator first; many requests at once are for an engine (openEngine of modc/session)",
  );

/** Throws InputError unless the generation is of the same model. */
function expectSame(generation: Generation, before: Generation): Generation {
  const shape = ({ vocabulary, context, axes, layers }: Generation): string =>
    JSON.stringify([vocabulary, context, axes, layers]);
  if (shape(generation) !== shape(before))
    throw new InputError("recover", "the generation to continue with belongs to another model");
  return generation;
}
