// One generation: prompts that are continued together, as sequences of an engine's core, which works whenever the
// caller waits for a token.
import { SAMPLING_COLUMNS } from "../../ground/numerics/sampling.js";
import type { Core } from "../engine/core.js";
import { sequenceOf, type SequenceRequest } from "../engine/request.js";
import type { EventSink, Sequence } from "../engine/sequence.js";
import type { EngineEvent } from "../engine/types.js";
import { positionsOn } from "./positions.js";
import { summarise, Timing } from "./summary.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";

const LOG_PROBABILITY = SAMPLING_COLUMNS.indexOf("logProbability");

export class Together {
  readonly #core: Core;
  readonly #requests: readonly SequenceRequest[];
  readonly #options: Pick<GenerateOptions, "observe" | "signal">;
  readonly #timing: Timing;
  /** Empty until they are submitted. */
  #sequences: readonly Sequence[] = [];
  /** Tokens that are not given to the caller yet. */
  readonly #tokens: GeneratedToken[] = [];
  #fault: { readonly error: unknown } | null = null;
  /** For each sequence whose prompt was read, its rows then. */
  readonly #promptRows: (readonly number[])[] = [];
  #read = 0;
  /** Devices that were lost before each sequence ended. */
  readonly #losses: number[] = [];
  /** Sequences that no run in flight has. */
  #left = 0;
  #wake = (): void => {};

  constructor(core: Core, requests: readonly SequenceRequest[], options: Pick<GenerateOptions, "observe" | "signal">) {
    [this.#core, this.#requests, this.#options] = [core, requests, options];
    this.#timing = new Timing(() => core.compiling);
  }

  /** Throws the fault of a sequence, which ends the others. */
  async *tokens(): AsyncGenerator<GeneratedToken, void> {
    this.#submit();
    for (;;) {
      for (let next = this.#tokens.shift(); next; next = this.#tokens.shift()) yield next;
      if (this.#fault) throw this.#fault.error;
      if (this.#sequences.every(({ over }) => over)) return;
      await this.#work();
    }
  }

  #submit(): void {
    const { generation, caches } = this.#core.opened;
    const fit = { limit: caches.limit, wanted: caches.limit };
    const members: Sequence[] = [];
    for (const [i, request] of this.#requests.entries()) {
      const fail = (error: unknown): void => this.#core.fail(members[i]!, error);
      members.push(sequenceOf(generation, request, caches, fit, this.#sink(i), fail, true));
    }
    const { observe = null, signal } = this.#options;
    for (const sequence of members) {
      sequence.group = { members, observe, signal };
      this.#core.roster.add(sequence);
    }
    this.#sequences = members;
  }

  /** Lets the engine work until an answer, or until a sequence fails. */
  #work(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wake = resolve;
      this.#core.turn().then(() => resolve(), reject);
    });
  }

  /** Takes the events of a sequence. */
  #sink(i: number): EventSink {
    return {
      push: (event, logprob) => this.#add(i, event, logprob ?? 0),
      fail: (error) => {
        this.#fault ??= { error };
        this.#wake();
      },
      end: () => void this.#left++,
    };
  }

  #add(sequence: number, event: EngineEvent, logprob: number): void {
    const own = this.#sequences[sequence]!;
    const { together } = this.#core.opened.caches;
    if (event.kind === "prompt") {
      this.#promptRows[sequence] = own.rows;
      if (++this.#read === (together ? this.#requests.length : 1)) this.#timing.first();
      return;
    }
    this.#timing.token();
    const { index, token, finish } = event;
    if (finish !== null) this.#losses[sequence] = this.#core.recovery.losses;
    const wanted = own.settled.tables.settings[LOG_PROBABILITY] === 1;
    // Of a token that was read with others of the prompt, caches side by side do not know the routes.
    const known = together || index > 0 || own.promptLength === 1;
    const { depth, routes } = known ? event : { depth: null, routes: null };
    const given = wanted || Number.isNaN(logprob) ? logprob : null;
    this.#tokens.push({ sequence, index, token, logprob: given, depth, routes, finish });
  }

  /** By axis, the rows of each sequence, up to the end of its text. */
  #rows(): readonly (readonly number[])[] {
    const { axes } = this.#core.opened.generation;
    return axes.map((_, axis) => this.#requests.map((_request, i) => this.#sequences[i]?.rows[axis] ?? 0));
  }

  /** Ends what is left, and waits for runs in flight. */
  async end(): Promise<void> {
    const left = new DOMException("the generation was left", "AbortError");
    for (const sequence of this.#sequences) this.#core.fail(sequence, left);
    while (this.#left < this.#sequences.length) await this.#core.turn();
  }

  summary(): Summary {
    const { generation, caches } = this.#core.opened;
    const rows = this.#rows();
    const wasRead = this.#read === this.#requests.length;
    return summarise(generation, {
      prompts: this.#requests.map(({ prompt }) => prompt.length),
      read: wasRead ? generation.axes.map((_, axis) => this.#promptRows.map((own) => own[axis]!)) : [],
      generatedTokens: this.#requests.map((_, i) => this.#sequences[i]?.generated ?? 0),
      rows,
      allocated: rows.map((own, axis) => caches.allocated(axis, own)),
      timing: this.#timing,
    });
  }

  /** By axis, the positions of the rows of each sequence; null for an axis without cached positions. */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    const { losses } = this.#core.recovery;
    // A sequence that ended before the loss of a device was not read again.
    if (this.#losses.some((before) => before < losses)) return this.#readAgain();
    const rows = this.#rows();
    return positionsOn(this.#core.opened.place, (axis) => rows[axis]!);
  }

  /** Reads the sequences again, and no token more. */
  async #readAgain(): ReturnType<Together["taken"]> {
    const texts = this.#sequences.map(({ tokens, rows }) => ({ prompt: tokens.slice(0, rows[0]), maxTokens: 0 }));
    const again = new Together(this.#core, texts, {});
    try {
      for await (const _ of again.tokens());
    } finally {
      await again.end();
    }
    return again.taken();
  }
}
