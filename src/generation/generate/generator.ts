// A generator: a model's programs on a device with weights and caches, for one generation at a time.
import { type Device, InputError } from "../../runtime/index.js";
import type { Core } from "../engine/core.js";
import { checkDetails, DETAILS, Details, kindOf, Observed } from "../engine/details.js";
import type { ChosenEntries } from "../engine/experts.js";
import { sessionsOf } from "../engine/place.js";
import type { GenerateOptions, GeneratorOptions, PromptRead, Summary } from "../types.js";
import { BaseGenerator } from "./base.js";
import { takenIn } from "./taken.js";
import { settleAll, Together } from "./together.js";

interface GeneratorParts extends Pick<GeneratorOptions, "live"> {
  readonly close: () => unknown;
  /** Guesses of the generation under way, which the core counts; null: nothing is guessed. */
  readonly drafted: { guessed: number; right: number } | null;
}

/**
 * Continues prompts, one generation at a time: the next may begin when this one has ended or its iterator was closed.
 * After the loss of the device it continues on another one (`recover`).
 */
export class Generator extends BaseGenerator {
  readonly #core: Core;
  readonly #parts: GeneratorParts;
  #busy = false;
  #summary: Summary | null = null;
  #last: { readonly together: Together; readonly details: readonly Details[] } | null = null;

  /** Use `createGenerator`. */
  constructor(core: Core, parts: GeneratorParts) {
    super(core, {
      begin: (prompts, options) => this.#begin(prompts, options),
      ended: (together) => this.#ended(together),
    });
    [this.#core, this.#parts] = [core, parts];
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

  #begin(prompts: readonly ArrayLike<number>[], given: GenerateOptions): Together {
    const { generation } = this;
    // The caller may change its object while the generation is under way.
    const options = { ...given, ...(given.live && { live: { ...given.live } }) };
    const core = this.#core;
    const kind = kindOf(generation, options.live, this.#parts.live);
    const settled = settleAll(generation, prompts, options, [...DETAILS, "onPrompt"], kind);
    checkDetails(generation, options);
    if (this.#busy) throw busy();
    const opened = (): Core["opened"] => core.opened;
    const observed = options.experts || options.observe ? new Observed(options, opened) : null;
    const details = prompts.map((_, i) => new Details(options, opened, observed, i));
    const together = new Together(core, settled, (i, reader) => {
      const own = details[i]!;
      return {
        ...reader,
        scores: own.scores,
        scoresPrompt: own.scoresPrompt,
        observer: observed,
        read: (...read) => own.read(...read),
        prompt(sequence) {
          reader.prompt(sequence);
          const read: PromptRead | null = own.prompt(sequence);
          if (read) options.onPrompt?.(read, i);
        },
        token(token) {
          const score = own.scoreOf(token);
          reader.token({ ...token, details: { ...own.expertsOf(token), ...(score && { score }) } });
        },
      };
    });
    observed?.members.push(...together.sequences);
    this.#last = { together, details };
    this.#busy = true;
    const { drafted } = this.#parts;
    if (drafted) drafted.guessed = drafted.right = 0;
    return together;
  }

  #ended(together: Together): Summary {
    this.#busy = false;
    const log = this.#log;
    const { drafted } = this.#parts;
    return (this.#summary = {
      ...together.summary(),
      ...(log && { experts: log.use }),
      ...(drafted && { drafted: { ...drafted } }),
    });
  }

  get #log(): Observed["log"] {
    return this.#last?.details[0]?.observer?.log ?? null;
  }

  /**
   * For each route of the last generation's summary, the positions of the tokens that took it, by sequence; null for a
   * route without attention, which has no cache, and with caches of the last loop alone for a route of loops, whose
   * cache does not keep them. For a sequence that has ended, excludes tokens computed by steps that were still in
   * flight.
   */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    if (this.#busy) throw busy();
    if (this.#last === null) return [];
    const { together, details } = this.#last;
    if (this.#core.opened.caches.together) return takenIn(this.#core, together);
    const all = together.sequences.map((sequence, i) => details[i]!.taken(sequence));
    return this.generation.axes.map((_, axis) => {
      const own = all.flatMap((taken) => taken[axis] ?? []);
      return own.length === all.length ? own : null;
    });
  }

  /**
   * For each of the generation's `choices`, the entries of each token on its axis in the last generation, by sequence;
   * empty without the option `experts`. `taken` has the places of those tokens.
   */
  experts(): readonly ChosenEntries[] {
    return this.#log?.chosen ?? [];
  }

  override dispose(): void {
    super.dispose();
    this.#parts.close();
  }
}

const busy = (): InputError =>
  new InputError(
    null,
    "the generator is busy with another generation",
    "leave its iterator first; many requests at once are for an engine (openEngine of modc/session)",
  );
