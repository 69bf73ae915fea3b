// A generator: a model's prompt and step programs on a device with weights and caches, for one generation at a time. It
// has the core of an engine, which works only while its caller waits for a token.
import type { Generation } from "../../runtime/program/generation.js";
import { type Device, DisposedError, InputError, openDevice } from "../../runtime/index.js";
import { openResponse } from "../../runtime/weights/fetched.js";
import { isResponse } from "../../runtime/weights/input.js";
import type { Caches } from "../engine/caches/caches.js";
import { ContiguousCaches } from "../engine/caches/contiguous.js";
import { Core, type CoreParts, type Opened } from "../engine/core.js";
import { Pace } from "../engine/pace.js";
import { placeOn, sessionsOf } from "../engine/place.js";
import { checkOptions, checkPrompts, expectOptions, type Limits } from "../engine/check.js";
import { perSequence } from "../sampling/options.js";
import { Together } from "./together.js";
import type { GeneratedToken, GenerateOptions, GeneratorOptions, Summary, WeightsInput } from "../types.js";

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
  return openGenerator(generation, device, weights, options, {
    caches: (own) => new ContiguousCaches(own),
    shared: false,
  });
}

/** How a generator works. */
export interface Sharing {
  /** Makes the caches of a generation. */
  readonly caches: (generation: Generation) => Caches;
  /** Whether several generations may be under way. Those that the caches have no place for wait. */
  readonly shared: boolean;
}

/** As `createGenerator`, for packages. */
export async function openGenerator(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  options: GeneratorOptions,
  sharing: Sharing,
): Promise<Generator> {
  const limits = checkOptions(generation, options);
  // Keep the response: all programs read the weights, and so does a replacement device.
  const response = isResponse(weights) ? await openResponse(weights, { keep: true, signal: options.signal }) : null;
  const own = response ?? weights;
  try {
    const open: CoreParts["open"] = (model, on, signal) => {
      const { weightsOf: _, ...others } = options; // on the device that was lost
      return openOn(model, on, own, limits, { ...others, ...(signal && { signal }) }, sharing.caches(model));
    };
    const opened = await openOn(generation, device, own, limits, options, sharing.caches(generation));
    if (response && !replacementOf(options)) await response.close();
    const parts = { opened, open, recover: replacementOf(options), pace: new Pace(limits.chunk, limits.ahead) };
    return new Generator(
      new Core({ ...parts, ...SILENT, ...(options.onRecovered && { onRecovered: options.onRecovered }) }),
      sharing.shared,
      () => response?.close(),
    );
  } catch (error) {
    await response?.close();
    throw error;
  }
}

/** The function that opens a replacement for a lost device; null if there is none. */
const replacementOf = ({ recover, weightsOf }: GeneratorOptions): NonNullable<GeneratorOptions["recover"]> | null =>
  recover === undefined && !weightsOf ? async () => ({ device: await openDevice() }) : (recover ?? null);

async function openOn(
  generation: Generation,
  device: Device,
  weights: WeightsInput | undefined,
  limits: Limits,
  { live, seed, signal, onProgress, weightsOf }: GeneratorOptions,
  caches: Caches,
): Promise<Opened> {
  const place = await placeOn(generation, device, weights, caches, {
    ...limits,
    drafts: false,
    ...(live && { live }),
    ...(seed !== undefined && { seed }),
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
    ...(weightsOf && { weightsOf }),
  });
  return { generation, caches, place };
}

/** Nothing observes it. After two losses without an answer between them a third device would be lost too. */
const SILENT = { mostInVain: 1, report: () => {}, wake: () => {} } as const;

export class Generator {
  readonly #core: Core;
  readonly #shared: boolean;
  readonly #closeWeights: () => unknown;
  #busy = false;
  #summary: Summary | null = null;
  #last: Together | null = null;

  /** Use `createGenerator`. */
  constructor(core: Core, shared: boolean, closeWeights: () => unknown) {
    [this.#core, this.#shared, this.#closeWeights] = [core, shared, closeWeights];
  }

  get generation(): Generation {
    return this.#core.opened.generation;
  }

  /** The current device; a replacement after a loss. */
  get device(): Device {
    return this.#core.opened.place.device;
  }

  /** Memory of both sessions. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    const all = sessionsOf(this.#core.opened.place).map(({ memory }) => memory);
    return {
      buffers: all.reduce((n, { buffers }) => n + buffers, 0),
      bytes: all.reduce((n, { bytes }) => n + bytes, 0),
    };
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
    const sampling = perSequence(options.sampling ?? {}, prompts.length);
    if (options.observe && !this.#core.opened.caches.together) throw unobserved();
    if (this.#busy && !this.#shared) throw busy();
    this.#busy = true;
    const requests = prompts.map((prompt, i) => ({
      prompt,
      sampling: sampling[i]!,
      // One more than there is room for: the sequence ends with the context.
      maxTokens: options.maxTokens ?? most[i]! + 1,
      ...(options.ends && { ends: options.ends }),
      ...(options.constraints && { constraint: options.constraints[i]! }), // one for each prompt
      ...(options.until && { until: (token: number) => options.until!(i, token) }),
      ...(options.signal && { signal: options.signal }),
    }));
    const together = (this.#last = new Together(this.#core, requests, options));
    let summary: Summary;
    try {
      yield* together.tokens();
    } finally {
      await together.end();
      summary = this.#summary = together.summary();
      this.#busy = false;
    }
    return summary;
  }

  /**
   * For each route of the last generation's summary, the positions of the tokens that took it, by sequence; null for a
   * route without attention, which has no cache, and with caches of the last loop alone for a route of loops, whose
   * cache does not keep them. For a sequence that has ended, excludes tokens computed by steps that
   * were still in flight.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    return this.#last === null ? [] : this.#last.taken();
  }

  dispose(): void {
    this.#core.end(new DisposedError());
    this.#core.dispose();
    this.#closeWeights();
  }
}

const busy = (): InputError =>
  new InputError(
    null,
    "the generator is busy with another generation",
    "leave its iterator first; many requests at once are for an engine (openEngine of modc/session)",
  );

const unobserved = (): InputError =>
  new InputError(
    "observe",
    "the option observe is not supported in a package for several callers",
    "build the package without --max-batch",
  );
