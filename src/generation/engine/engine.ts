// The engine: requests join and leave at every step; prompts are read in chunks between steps; what is in flight is
// never waited for by what could go on.
import { noOtherDevice } from "../generate/no-other.js";
import { type Device, DeviceLostError, type WeightsInput } from "../../runtime/index.js";
import { biasWrites } from "./bias-writes.js";
import { draft, guessesFor, type Drafted, type DraftPlace } from "./draft.js";
import { CacheFullError, EngineClosedError, QueueFullError } from "./errors.js";
import { join } from "./join.js";
import { CacheMemory, type Growth } from "./memory.js";
import { modelOf } from "./model.js";
import { byKind, chunk, drafting, kindsOf, reading, stepping, type Wish } from "./next.js";
import { cacheLimit, type EngineLimits, type EngineOptions, type Paged } from "./options.js";
import { Pace } from "./pace.js";
import { disposeEnginePlace, growPools, resetPools, type EnginePlace } from "./place.js";
import { receive, tellToken } from "./receive.js";
import { Recovery } from "./recovery.js";
import { replacement } from "./replacement.js";
import { landed, runPrompt, runStep, type Run, type Runner } from "./runs.js";
import type { Sequence } from "./sequence.js";
import { editStates } from "./state-edits.js";
import { taken } from "./taken.js";
import { type Tell, tellerOf } from "./tell.js";
import { Texts } from "./texts.js";
import { stateOf, useOf } from "./use.js";
import type { Engine, EngineModel, EngineRequest, EngineState, EngineStream } from "./types.js";

export interface EngineParts {
  readonly paged: Paged;
  readonly limits: EngineLimits;
  readonly memory: CacheMemory;
  readonly place: EnginePlace;
  readonly weights: WeightsInput | undefined;
  readonly options: EngineOptions;
}

export class BatchEngine implements Engine {
  readonly model: EngineModel;
  readonly #limits: EngineLimits;
  readonly #weights: WeightsInput | undefined;
  readonly #options: EngineOptions;
  readonly #tell: Tell;
  #paged: Paged;
  #memory: CacheMemory;
  #place: EnginePlace;
  #replacement: Device | null = null;
  readonly #texts: Texts;
  readonly #flight: Run[] = [];
  readonly #pace: Pace;
  readonly #recovery: Recovery;
  #closing: "drain" | "close" | null = null;
  #wake: (() => void) | null = null;
  readonly #loop: Promise<void>;

  constructor({ paged, limits, memory, place, weights, options }: EngineParts) {
    [this.#paged, this.#limits, this.#memory, this.#place] = [paged, limits, memory, place];
    [this.#weights, this.#options, this.#tell] = [weights, options, tellerOf(options.observer ?? {})];
    this.#texts = new Texts(limits.maxBatch);
    this.#pace = new Pace(limits.chunk);
    this.model = { ...modelOf(paged), context: this.#context === Infinity ? null : this.#context };
    this.#recovery = new Recovery(options.recover !== null, () => this.#notify());
    this.#recovery.watch(place.device);
    this.#loop = this.#run();
  }

  submit(request: EngineRequest): EngineStream {
    if (this.#closing) throw new EngineClosedError();
    const limits = [this.#cacheLimit, cacheLimit(this.#paged, this.#limits.cacheMemory)] as const;
    const sequence = taken(this.#paged, request, limits, (of, reason) => this.#fail(of, reason));
    this.#texts.add(sequence);
    if (this.#texts.behind > this.#limits.queue) {
      this.#texts.remove(sequence);
      sequence.settled.forget();
      throw this.#full();
    }
    this.#tell("queued");
    this.#notify();
    return sequence.stream;
  }

  #full(): QueueFullError {
    const { behind } = this.#texts;
    return new QueueFullError(behind, this.#pace.secondsFor(Math.max(1, behind), this.#limits.maxBatch));
  }

  get state(): EngineState {
    return stateOf(this.#paged, this.#memory, this.#texts, this.#recovery);
  }

  async drain(): Promise<void> {
    this.#closing ??= "drain";
    this.#notify();
    await this.#loop;
  }

  async close(): Promise<void> {
    this.#closing = "close";
    for (const sequence of this.#texts.all) this.#fail(sequence, new EngineClosedError());
    this.#notify();
    await this.#loop;
    disposeEnginePlace(this.#place);
    this.#replacement?.destroy();
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }

  /** Ends a request without a finish: at once if it waits, else once no run in flight has it. */
  #fail(sequence: Sequence, error: unknown): void {
    if (sequence.over) return;
    sequence.failure = { error };
    sequence.stream.fail(error);
    if (this.#texts.remove(sequence)) this.#ended(sequence);
    this.#notify();
  }

  async #run(): Promise<void> {
    for (;;) {
      try {
        this.#clear();
        if (this.#texts.all.length === 0) {
          if (this.#closing) return;
          const lost = this.#place.device.lostError;
          if (lost && this.#recovery.due(lost)) await this.#recover(lost);
          else await new Promise<void>((resolve) => (this.#wake = resolve));
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
    for (const sequence of this.#texts.takeEnded()) {
      this.#pace.ended(performance.now() - sequence.joined);
      this.#texts.short = false;
      this.#memory.ended(sequence);
      this.#leave(sequence);
      this.#ended(sequence);
    }
  }

  #ended(sequence: Sequence): void {
    sequence.settled.forget();
    sequence.stream.end();
    const outcome = sequence.finish !== null ? "finished" : sequence.aborted ? "cancelled" : "failed";
    this.#tell("ended", outcome, useOf(this.#paged, sequence));
  }

  /** Frees a text's pages and slot. */
  #leave(sequence: Sequence): void {
    this.#memory.release(sequence);
    this.#texts.freeSlot(sequence);
  }

  /** Gives slots to requests that wait, those that came first first. */
  async #admit(): Promise<void> {
    for (;;) {
      const next = this.#texts.admit();
      if (!next) return;
      const { sequence, slot } = next;
      if (sequence.cached === null) this.#tell("began", performance.now() - sequence.settled.began);
      const fail = (error: unknown): void => this.#fail(sequence, error);
      const { writes, copies } = join(this.#paged, this.#memory, { sequence, slot, fail });
      await editStates(this.#place.prompt, writes, copies);
    }
  }

  /** Tokens of a text that surely fits into the cache. */
  get #cacheLimit(): number {
    return cacheLimit(this.#paged, this.#memory.bytes.limit);
  }

  /** The most tokens of a text that are read. */
  get #context(): number {
    return Math.min(this.#paged.context ?? Infinity, this.#cacheLimit);
  }

  get #runner(): Runner {
    return { paged: this.#paged, place: this.#place, pools: this.#memory.extents, maxBatch: this.#limits.maxBatch };
  }

  /** Submits steps, and a chunk of prompts, as far as they may be in flight. */
  async #submit(): Promise<void> {
    const { draft: programs } = this.#place;
    const { active, waiting } = this.#texts;
    if (programs) for (const kind of kindsOf(active)) await this.#draft(kind, programs);
    const ahead = this.#pace.ahead(reading(active).length + waiting.length > 0);
    await this.#stepAhead(ahead);
    if (!this.#flight.some((r) => r.kind === "prompt") && (await this.#read())) await this.#stepAhead(ahead);
  }

  /** Submits steps until so many are in flight. */
  async #stepAhead(ahead: number): Promise<void> {
    while (this.#flight.filter((r) => r.kind === "step").length < ahead && (await this.#step()));
  }

  /** Guesses tokens of texts of one kind, and reads them. */
  async #draft(kind: string, programs: DraftPlace): Promise<void> {
    const texts = drafting(this.#texts.active).filter((s) => s.settled.kind === kind);
    if (texts.length === 0) return;
    const count = guessesFor(texts);
    if (!(await this.#give(texts.map((sequence) => ({ sequence, tokens: count + 1 }))))) return;
    const may = new Set(drafting(this.#texts.active));
    const going = texts.filter((s) => may.has(s));
    if (going.length === 0) return;
    const receiver = { model: this.model, tell: this.#tell, context: this.#context };
    const runner = { ...this.#runner, draft: programs, model: this.model };
    const read = (): number => going.reduce((sum, s) => sum + s.read, 0);
    const [began, before] = [performance.now(), read()];
    let drafted: Drafted;
    try {
      drafted = await draft(runner, going, count, (s, token) => tellToken(s, token, receiver));
    } catch (error) {
      return this.#failOwn(going, error);
    }
    this.#tell("drafted", drafted.guessed, drafted.right);
    this.#ran("step", going, read() - before, began);
    for (const sequence of drafted.changed) if (!sequence.failure) this.#memory.settle(sequence);
  }

  /** Submits a step of each kind of texts that may have one; false if there is none. */
  async #step(): Promise<boolean> {
    const ready = stepping(this.#texts.active, this.#place.draft !== null);
    if (ready.length === 0) return false;
    if (!(await this.#give(ready.map((sequence) => ({ sequence, tokens: 1 }))))) return false;
    const going = ready.filter((s) => s.phase === "stepping" && !s.over);
    for (const texts of byKind(going)) this.#flight.push(runStep(this.#runner, texts));
    return going.length > 0;
  }

  /** Submits a chunk of the texts that are being read, of those that came first; false if there is none. */
  async #read(): Promise<boolean> {
    const { active } = this.#texts;
    const wishes = chunk(reading(active), this.#pace.chunk(active.some((s) => s.phase === "stepping")));
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
  async #give(wishes: readonly Wish[]): Promise<boolean> {
    for (;;) {
      const given = this.#memory.give(wishes);
      if (given === "given") return true;
      const hadFlight = this.#flight.length > 0;
      await this.#land();
      if (given !== "none") await this.#grow(given);
      this.#clear();
      if (wishes.some(({ sequence }) => sequence.over)) return false;
      if (given !== "none" || hadFlight) continue; // texts that ended with it have freed their pages
      const { active } = this.#texts;
      if (active.length <= 1) {
        await this.#evenPools();
        return false;
      }
      const youngest = active.toSorted((a, b) => a.settled.began - b.settled.began).at(-1)!;
      this.#preempt(youngest);
      this.#texts.short = true;
      if (wishes.some(({ sequence }) => sequence === youngest)) return false;
    }
  }

  /** Makes pools larger, with nothing in flight; where the device has no room, what they have is all there is. */
  async #grow({ wanted, least }: Growth): Promise<void> {
    for (const pages of [wanted, least])
      if (await growPools(this.#place, this.#paged, pages)) {
        this.#memory.grown(pages);
        return;
      }
    this.#limitCache(this.#memory.bytes.allocated);
  }

  /** The device has no more memory than this. Texts end where the cache does; one that is there already fails. */
  #limitCache(bytes: number): void {
    this.#memory.limitTo(bytes);
    this.#tell("cacheLimited", bytes);
    this.#endUnfitting();
  }
  #endUnfitting(): void {
    const limit = this.#cacheLimit;
    for (const sequence of this.#texts.all) if (!sequence.limitTo(limit)) this.#fail(sequence, new CacheFullError());
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
    const left = [...this.#texts.active];
    for (const sequence of left) this.#preempt(sequence);
    // Small ones first: a device may have no room for the old beside the new.
    if (!(await this.#beginPools("small"))) {
      for (const sequence of left) this.#fail(sequence, new CacheFullError());
      return;
    }
    while (!(await this.#beginPools("even"))) {
      if (this.#cacheLimit === 0) throw new CacheFullError();
      this.#limitCache(this.#memory.bytes.limit / 2);
    }
  }

  async #beginPools(pools: "small" | "even"): Promise<boolean> {
    const memory = new CacheMemory(this.#paged, this.#memory.bytes.limit, pools);
    const made = await resetPools(this.#place, this.#paged, memory, this.#limits.maxBatch);
    if (made) this.#memory = memory;
    return made;
  }

  /** Takes a text's memory for others. */
  #preempt(sequence: Sequence): void {
    this.#tell("preempted", sequence.read - sequence.found);
    this.#putBack(sequence);
  }

  /** Takes a text from the device; it waits in front of those that came after it, and is read again. */
  #putBack(sequence: Sequence): void {
    this.#leave(sequence);
    sequence.restart();
    this.#texts.putBack(sequence);
  }

  /** Waits for a run, and tells what it gave. A fault of its own ends its texts, and no others. */
  async #receive(run: Run): Promise<void> {
    const results = await run.results.catch((error: unknown) => this.#failOwn(run.sequences, error));
    this.#flight.splice(this.#flight.indexOf(run), 1);
    landed(run);
    if (!results) return;
    const tokens = run.lengths.reduce((a, b) => a + b, 0);
    this.#ran(run.kind, run.sequences, tokens, run.began);
    const receiver = { paged: this.#paged, model: this.model, tell: this.#tell, context: this.#context };
    const changed = receive(run, results, receiver);
    for (const sequence of changed) if (!sequence.failure) this.#memory.settle(sequence);
    const writes = await biasWrites(this.#paged, changed, (s, error) => this.#fail(s, error));
    if (writes.length > 0) await editStates(this.#place.prompt, writes);
  }

  #ran(kind: Run["kind"], { length: sequences }: readonly Sequence[], tokens: number, began: number): void {
    this.#recovery.worked();
    const { prompt, step, draft: programs } = this.#place;
    const sessions = [prompt, step, ...(programs ? [programs.step, programs.verify] : [])];
    const compiling = sessions.reduce((sum, session) => sum + session.compiling, 0);
    const milliseconds = this.#pace.ran({ kind, began }, tokens, compiling);
    this.#tell("ran", { kind, sequences, tokens, milliseconds, compiling });
  }

  /** Goes on with another device: every text is read again. */
  async #recover(lost: DeviceLostError): Promise<void> {
    if (this.#recovery.noteLoss()) this.#tell("deviceLost");
    await Promise.allSettled(this.#flight.map((r) => r.results));
    for (const run of this.#flight.splice(0)) landed(run);
    this.#clear();
    for (const sequence of [...this.#texts.active].reverse()) this.#putBack(sequence);
    if (this.#closing === "close") return this.#failAll(lost);
    try {
      if (!this.#recovery.mayReadAgain) throw lost;
      const next = await replacement(lost, this.#paged, this.#limits, this.#weights, this.#options);
      if (!next) return this.#failAll(lost);
      disposeEnginePlace(this.#place);
      this.#replacement?.destroy();
      this.#replacement = next.device;
      [this.#paged, this.#memory, this.#place] = [next.paged, next.memory, next.place];
      this.#recovery.replaced(next.device);
      this.#endUnfitting();
    } catch (error) {
      this.#recovery.failed();
      this.#failAll(error === lost ? lost : noOtherDevice(lost, error));
    }
  }

  /** Ends texts that a fault concerns. A lost device concerns all. */
  #failOwn(sequences: readonly Sequence[], error: unknown): void {
    if (error instanceof DeviceLostError) throw error;
    for (const sequence of sequences) this.#fail(sequence, error);
  }

  #failAll(error: unknown): void {
    for (const run of this.#flight.splice(0)) landed(run);
    for (const sequence of this.#texts.all) this.#fail(sequence, error);
  }
}
