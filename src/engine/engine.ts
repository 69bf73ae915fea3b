// The engine: requests join and leave at every step; prompts are read in chunks between steps; what is in flight is
// never waited for by what could go on.
import { noOtherDevice } from "../generate/no-other.js";
import { layersOn } from "../generate/summary.js";
import type { Generation } from "../program/generation.js";
import { type Device, DeviceLostError, type WeightsInput } from "../runtime/index.js";
import { draft, guessesFor, mayGuess, type DraftPlace } from "./draft.js";
import { EngineClosedError, QueueFullError } from "./errors.js";
import { join } from "./join.js";
import { CacheMemory } from "./memory.js";
import { cacheLimit, checkEngine, type EngineLimits, type EngineOptions, type Paged } from "./options.js";
import { Pace } from "./pace.js";
import { disposeEnginePlace, growPools, openAnother, placeFor, resetPools, type EnginePlace } from "./place.js";
import { receive, tellToken } from "./receive.js";
import { runPrompt, runStep, type Run, type Runner } from "./runs.js";
import type { Sequence } from "./sequence.js";
import { penaltyWrite } from "./slots.js";
import { editStates } from "./state-edits.js";
import { taken } from "./taken.js";
import { stateOf, type Losses, useOf } from "./use.js";
import type { Engine, EngineModel, EngineObserver, EngineRequest, EngineState, EngineStream } from "./types.js";

/**
 * Loads a generation whose caches lie in pages, and its weights, onto a device. Throws what `load` throws, and
 * InputError for an invalid option.
 */
export async function createEngine(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: EngineOptions = {},
): Promise<Engine> {
  const [paged, limits] = checkEngine(generation, options);
  const memory = new CacheMemory(paged, limits.cacheMemory);
  const place = await placeFor(paged, device, weights, limits, memory, options);
  return new BatchEngine({ paged, limits, memory, place, weights, options });
}

interface Parts {
  readonly paged: Paged;
  readonly limits: EngineLimits;
  readonly memory: CacheMemory;
  readonly place: EnginePlace;
  readonly weights: WeightsInput | undefined;
  readonly options: EngineOptions;
}

class BatchEngine implements Engine {
  readonly model: EngineModel;
  readonly #limits: EngineLimits;
  readonly #weights: WeightsInput | undefined;
  readonly #options: EngineOptions;
  readonly #observer: EngineObserver;
  readonly #limit: number;
  #paged: Paged;
  #memory: CacheMemory;
  #place: EnginePlace;
  #replacement: Device | null = null;
  /** Requests that wait for a slot, those that came first at the front. */
  readonly #waiting: Sequence[] = [];
  /** Texts on the device, in the order in which they got their slots. */
  readonly #active: Sequence[] = [];
  readonly #slots: number[];
  readonly #flight: Run[] = [];
  /** Whether a text gave up its memory for others: none begins until one of them has ended. */
  #short = false;
  readonly #pace: Pace;
  readonly #losses: Losses = { all: 0, inVain: 0, replaced: true };
  #closing: "drain" | "close" | null = null;
  #wake: (() => void) | null = null;
  readonly #loop: Promise<void>;

  constructor({ paged, limits, memory, place, weights, options }: Parts) {
    [this.#paged, this.#limits, this.#memory, this.#place] = [paged, limits, memory, place];
    [this.#weights, this.#options, this.#observer] = [weights, options, options.observer ?? {}];
    this.#limit = cacheLimit(paged, limits.cacheMemory);
    this.#slots = Array.from({ length: limits.maxBatch }, (_, i) => limits.maxBatch - 1 - i);
    this.#pace = new Pace(limits.chunk);
    const layers = layersOn(paged);
    this.model = {
      vocabulary: paged.vocabulary,
      context: paged.context,
      routes: paged.axes.map(({ path }, i) => ({ path, layers: layers[i]! })),
      live: paged.prompt.live.map((l) => l.name),
    };
    this.#loop = this.#run();
  }

  submit(request: EngineRequest): EngineStream {
    if (this.#closing) throw new EngineClosedError();
    const sequence = taken(this.#paged, request, this.#limit, (of, reason) => this.#fail(of, reason));
    // Those that find a slot free do not wait. One that is over leaves its place as soon as nothing in flight has it.
    const leaving = this.#active.filter(({ over }) => over).length;
    if (this.#waiting.length >= this.#limits.queue + this.#slots.length + leaving) throw this.#full();
    this.#waiting.push(sequence);
    this.#observer.queued?.();
    this.#notify();
    return sequence.stream;
  }

  #full(): QueueFullError {
    const waiting = Math.max(0, this.#waiting.filter(({ over }) => !over).length - this.#slots.length);
    return new QueueFullError(waiting, this.#pace.secondsFor(Math.max(1, waiting), this.#limits.maxBatch));
  }

  get state(): EngineState {
    return stateOf(this.#paged, this.#memory, this.#active, this.#waiting.length, this.#losses);
  }

  async drain(): Promise<void> {
    this.#closing ??= "drain";
    this.#notify();
    await this.#loop;
  }

  async close(): Promise<void> {
    this.#closing = "close";
    for (const sequence of [...this.#waiting, ...this.#active]) this.#fail(sequence, new EngineClosedError());
    this.#notify();
    await this.#loop;
    disposeEnginePlace(this.#place);
    this.#replacement?.destroy();
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }

  /** Ends a request without a finish; its memory is freed once no run in flight has it. */
  #fail(sequence: Sequence, error: unknown): void {
    if (sequence.over) return;
    sequence.failure = { error };
    sequence.stream.fail(error);
    this.#notify();
  }

  async #run(): Promise<void> {
    for (;;) {
      try {
        this.#clear();
        if (this.#active.length + this.#waiting.length === 0) {
          if (this.#closing) return;
          await new Promise<void>((resolve) => (this.#wake = resolve));
          continue;
        }
        await this.#admit();
        await this.#submit();
        const next = this.#flight[0];
        if (next) await this.#receive(next);
      } catch (error) {
        if (error instanceof DeviceLostError) await this.#recover(error);
        else this.#failAll(error);
      }
    }
  }

  /** Takes out requests that are over, once no run in flight has them. */
  #clear(): void {
    for (const list of [this.#waiting, this.#active])
      for (let i = list.length - 1; i >= 0; i--) {
        const sequence = list[i]!;
        if (!sequence.over || sequence.inFlight > 0) continue;
        list.splice(i, 1);
        sequence.settled.forget();
        this.#observer.ended?.(
          sequence.finish !== null ? "finished" : isAbort(sequence) ? "cancelled" : "failed",
          useOf(this.#paged, sequence),
        );
        if (sequence.slot !== null) this.#pace.ended(performance.now() - sequence.settled.began);
        this.#leave(sequence);
        this.#short = false;
        sequence.stream.end();
      }
  }

  /** Frees a text's pages and slot. */
  #leave(sequence: Sequence): void {
    this.#memory.release(sequence);
    if (sequence.slot !== null) this.#slots.push(sequence.slot);
    sequence.slot = null;
  }

  /** Gives slots to requests that wait, those that came first first. */
  async #admit(): Promise<void> {
    if (this.#active.length === 0) this.#short = false;
    while (this.#waiting.length > 0 && this.#slots.length > 0 && !this.#short) {
      const sequence = this.#waiting[0]!;
      if (sequence.over) return; // cleared in the next round
      this.#waiting.shift();
      this.#active.push(sequence);
      const { writes, copies } = join(this.#paged, this.#memory, sequence, this.#slots.pop()!); // one is free
      this.#observer.began?.(performance.now() - sequence.settled.began);
      await editStates(this.#place.prompt, writes, copies);
    }
  }

  /** The most tokens of a text that are read. */
  get #context(): number {
    return Math.min(this.#paged.context ?? Infinity, this.#limit);
  }

  get #runner(): Runner {
    return { paged: this.#paged, place: this.#place, pools: this.#memory.extents, maxBatch: this.#limits.maxBatch };
  }

  /** Submits steps, and a chunk of prompts, as far as they may be in flight. */
  async #submit(): Promise<void> {
    await this.#draft();
    const ahead = this.#pace.ahead(this.#reading.length + this.#waiting.length > 0);
    await this.#stepAhead(ahead);
    if (!this.#flight.some((r) => r.kind === "prompt") && (await this.#read())) await this.#stepAhead(ahead);
  }

  /** Submits steps until so many are in flight. */
  async #stepAhead(ahead: number): Promise<void> {
    while (this.#flight.filter((r) => r.kind === "step").length < ahead && (await this.#step()));
  }

  get #reading(): readonly Sequence[] {
    return this.#active.filter((s) => s.phase === "reading" && !s.over);
  }

  /** Whether the next tokens of a text are guessed ahead. */
  #guesses(sequence: Sequence): boolean {
    return this.#place.draft !== null && mayGuess(sequence) && sequence.wanted > 1;
  }

  /** Guesses tokens of texts, kind by kind, and reads them. */
  async #draft(): Promise<void> {
    const { draft: programs } = this.#place;
    if (programs)
      for (const kind of new Set(this.#active.map((s) => s.settled.kind))) await this.#draftOf(kind, programs);
  }

  async #draftOf(kind: string, programs: DraftPlace): Promise<void> {
    const may = (s: Sequence): boolean => s.phase === "stepping" && !s.over && s.inFlight === 0 && this.#guesses(s);
    const ready = this.#active.filter((s) => s.settled.kind === kind && may(s));
    if (ready.length === 0) return;
    const count = guessesFor(ready);
    if (!(await this.#give(ready.map((sequence) => ({ sequence, tokens: count + 1 }))))) return;
    const going = ready.filter(may);
    if (going.length === 0) return;
    const receiver = { model: this.model, observer: this.#observer, context: this.#context };
    const runner = { ...this.#runner, draft: programs, model: this.model };
    const { changed, guessed, right } = await draft(runner, going, count, (s, token) => tellToken(s, token, receiver));
    this.#losses.inVain = 0;
    this.#observer.drafted?.(guessed, right);
    for (const sequence of changed) this.#memory.settle(sequence);
  }

  /** Submits a step of each kind of texts that may have one; false if there is none. */
  async #step(): Promise<boolean> {
    const ready = this.#active.filter(
      (s) =>
        s.phase === "stepping" && !s.over && s.wanted > 0 && !(s.waitsForTokens && s.choosing > 0) && !this.#guesses(s),
    );
    if (ready.length === 0) return false;
    if (!(await this.#give(ready.map((sequence) => ({ sequence, tokens: 1 }))))) return false;
    const going = ready.filter((s) => s.phase === "stepping" && !s.over);
    for (const kind of new Set(going.map((s) => s.settled.kind)))
      this.#flight.push(
        runStep(
          this.#runner,
          going.filter((s) => s.settled.kind === kind),
        ),
      );
    return going.length > 0;
  }

  /** Submits a chunk of the texts that are being read, of those that came first; false if there is none. */
  async #read(): Promise<boolean> {
    const stepping = this.#active.some((s) => s.phase === "stepping");
    let left = this.#pace.chunk(stepping);
    const first = this.#reading.toSorted((a, b) => a.settled.began - b.settled.began);
    const kind = first[0]?.settled.kind;
    const wishes: { sequence: Sequence; tokens: number }[] = [];
    for (const sequence of first) {
      if (left === 0 || sequence.settled.kind !== kind) break;
      const tokens = Math.min(left, sequence.tokens.length - sequence.submitted);
      wishes.push({ sequence, tokens });
      left -= tokens;
    }
    if (wishes.length === 0 || !(await this.#give(wishes))) return false;
    const going = wishes.filter(({ sequence }) => sequence.phase === "reading" && !sequence.over);
    if (going.length === 0) return false;
    const [sequences, lengths] = [going.map((w) => w.sequence), going.map((w) => w.tokens)];
    this.#flight.push(runPrompt(this.#runner, sequences, lengths));
    return true;
  }

  /**
   * Gives texts pages for so many more tokens. Where memory is short the text that came last gives up its own, and is
   * read again later. False where a text of the wish lost its place: then nothing was given.
   */
  async #give(wishes: readonly { readonly sequence: Sequence; readonly tokens: number }[]): Promise<boolean> {
    for (;;) {
      const given = this.#memory.give(wishes);
      if (given === "given") return true;
      const landed = this.#flight.length > 0;
      await this.#land();
      if (given !== "none") {
        await growPools(this.#place, this.#paged, given.grow);
        this.#memory.grown(given.grow);
        continue;
      }
      this.#clear();
      if (wishes.some(({ sequence }) => sequence.over)) return false;
      if (landed) continue; // texts that ended with it have freed their pages
      const youngest = this.#active.toSorted((a, b) => a.settled.began - b.settled.began).at(-1)!;
      if (this.#active.length <= 1) {
        await this.#evenPools();
        return false;
      }
      this.#preempt(youngest);
      this.#short = true;
      if (wishes.some(({ sequence }) => sequence === youngest)) return false;
    }
  }

  /** Receives all that is in flight. */
  async #land(): Promise<void> {
    while (this.#flight.length > 0) await this.#receive(this.#flight[0]!);
  }

  /**
   * One text is left, and pools that others filled have taken the memory that it needs: all pools begin anew, with as
   * many pages each, which hold any text that was taken.
   */
  async #evenPools(): Promise<void> {
    while (this.#active.length > 0) this.#preempt(this.#active.at(-1)!);
    const memory = new CacheMemory(this.#paged, this.#limits.cacheMemory, "even");
    await resetPools(this.#place, this.#paged, memory, this.#limits.maxBatch);
    this.#memory = memory;
  }

  /** Takes a text's memory; it waits in front of those that came after it, and is read again. */
  #preempt(sequence: Sequence): void {
    this.#active.splice(this.#active.indexOf(sequence), 1);
    this.#observer.preempted?.(sequence.read);
    this.#leave(sequence);
    sequence.restart();
    const at = this.#waiting.findIndex((s) => s.settled.began > sequence.settled.began);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, sequence);
  }

  /** Waits for a run, and tells what it gave. */
  async #receive(run: Run): Promise<void> {
    const results = await run.results;
    this.#flight.splice(this.#flight.indexOf(run), 1);
    this.#losses.inVain = 0;
    const milliseconds = performance.now() - run.began;
    const tokens = run.lengths.reduce((a, b) => a + b, 0);
    const { prompt, step } = this.#place;
    this.#pace.ran(run, tokens, prompt.compiling + step.compiling);
    this.#observer.ran?.({ kind: run.kind, sequences: run.sequences.length, tokens, milliseconds });
    const receiver = { paged: this.#paged, model: this.model, observer: this.#observer, context: this.#context };
    const changed = receive(run, results, receiver);
    for (const sequence of changed) if (!sequence.failure) this.#memory.settle(sequence);
    const writes = changed.flatMap((s) => penaltyWrite(this.#paged, s) ?? []);
    if (writes.length > 0) await editStates(this.#place.prompt, writes);
  }

  /** Goes on with another device: every text is read again. */
  async #recover(lost: DeviceLostError): Promise<void> {
    this.#losses.all++;
    this.#losses.replaced = false;
    this.#observer.deviceLost?.();
    await Promise.allSettled(this.#flight.map((r) => r.results));
    this.#flight.length = 0;
    while (this.#active.length > 0) this.#preempt(this.#active.at(-1)!);
    const recover = this.#options.recover === undefined ? openAnother : this.#options.recover;
    if (!recover || this.#losses.inVain >= 2) return this.#failAll(lost);
    try {
      const { device, generation } = await recover(lost);
      this.#replacement?.destroy();
      this.#replacement = device;
      const paged = generation ? checkEngine(generation, this.#options)[0] : this.#paged;
      const memory = new CacheMemory(paged, this.#limits.cacheMemory);
      const { signal: _, ...options } = this.#options; // it was for loading
      const place = await placeFor(paged, device, this.#weights, this.#limits, memory, options);
      disposeEnginePlace(this.#place);
      [this.#paged, this.#memory, this.#place] = [paged, memory, place];
      this.#losses.replaced = true;
      this.#losses.inVain++;
    } catch (error) {
      this.#failAll(noOtherDevice(lost, error));
    }
  }

  #failAll(error: unknown): void {
    for (const sequence of this.#active) sequence.inFlight = sequence.choosing = 0;
    this.#flight.length = 0;
    for (const sequence of [...this.#active, ...this.#waiting]) this.#fail(sequence, error);
  }
}

const isAbort = ({ failure, settled }: Sequence): boolean =>
  settled.request.signal?.aborted === true ||
  (failure !== null && failure.error instanceof Error && failure.error.name === "AbortError");
