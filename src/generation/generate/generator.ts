// A generator: a model's prompt and step programs on a device with weights and caches, for one generation at a time. It
// has the core of an engine, which works only while its caller waits for a token.
import { type Device, DisposedError, InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Core } from "../engine/core.js";
import { sessionsOf } from "../engine/place.js";
import { settleAll, Together } from "./together.js";
import { takenIn } from "./taken.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";

export class Generator {
  readonly #core: Core;
  /** Whether several generations may be under way. */
  readonly #shared: boolean;
  readonly #close: () => unknown;
  #busy = false;
  #summary: Summary | null = null;
  #last: Together | null = null;

  /** Use `createGenerator`. */
  constructor(core: Core, shared: boolean, close: () => unknown) {
    [this.#core, this.#shared, this.#close] = [core, shared, close];
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
    const settled = settleAll(this.generation, prompts, options);
    if (options.observe && !this.#core.opened.caches.together)
      throw new InputError(
        "observe",
        "the option observe is not supported in a package for several callers",
        "build the package without --max-batch",
      );
    if (this.#busy && !this.#shared) throw busy();
    const together = (this.#last = new Together(this.#core, settled, options));
    this.#busy = true;
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
   * cache does not keep them. For a sequence that has ended, excludes tokens computed by steps that were still in
   * flight.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    return this.#last === null ? [] : takenIn(this.#core, this.#last);
  }

  dispose(): void {
    this.#core.end(new DisposedError());
    this.#core.dispose();
    this.#close();
  }
}

const busy = (): InputError =>
  new InputError(
    null,
    "the generator is busy with another generation",
    "leave its iterator first; many requests at once are for an engine (openEngine of modc/session)",
  );
