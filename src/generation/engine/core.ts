// The core of every engine: it admits sequences, schedules runs, submits them ahead of their answers, and receives the
// answers in order. Its owner says when: a server in a loop, a generator whenever its caller wants a token.
import { bug } from "../../ground/base/invariant.js";
import { type Device, DeviceLostError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Caches, Growth } from "./caches/caches.js";
import type { draft, Drafted, Drafter } from "./draft.js";
import { CacheFullError } from "./errors.js";
import { noOtherDevice } from "./no-other-device.js";
import type { Pace } from "./pace.js";
import { disposePlace, type Place, sessionsOf } from "./place.js";
import { addToken, receive, type Receiver } from "./receive.js";
import type { Recovered } from "../types.js";
import { type Recover, Recovery, replacement, Restoring } from "./recovery.js";
import type { Report } from "./report.js";
import { Roster } from "./roster.js";
import { landed, type Run, submitRun } from "./runs.js";
import { biasWrites, samplingWrites } from "./sampling-states.js";
import { leastUrgent, nextPlan, type Plan, type Rules, triedBy, type Wish } from "./scheduler.js";
import type { Sequence } from "./sequence.js";
import { editStates } from "./state-edits.js";
import type { EngineModel } from "./types.js";
import { modelOf } from "./use.js";

/** A generation on a device, with empty caches. */
export interface Opened {
  readonly generation: Generation;
  readonly caches: Caches;
  readonly place: Place;
}

export interface CoreParts {
  readonly opened: Opened;
  /** Loads a generation onto a device, in place of a lost one. */
  readonly open: (generation: Generation, device: Device, signal: AbortSignal | undefined) => Promise<Opened>;
  /** Opens a device in place of a lost one; null: the loss ends all sequences. */
  readonly recover?: Recover | null;
  /** Replacements without an answer between them, before a loss ends all sequences. */
  readonly mostInVain: number;
  readonly pace: Pace;
  readonly report: Report;
  /** Guesses tokens and verifies them; undefined if the place has no programs for that. */
  readonly draft?: typeof draft;
  /** Called when a sequence has ended, after its last event. */
  readonly ended?: (sequence: Sequence) => void;
  /** Called when sequences continue on another device. */
  readonly onRecovered?: (event: Recovered) => void;
  /** Called when there may be something to do. */
  readonly wake: () => void;
}

export class Core {
  readonly model: EngineModel;
  readonly roster = new Roster();
  readonly recovery: Recovery;
  readonly #parts: CoreParts;
  readonly #report: Report;
  #opened: Opened;
  /** The device that it opened in place of a lost one. */
  #replacement: Device | null = null;
  /** Runs in the order of their submission. */
  readonly #flight: Run[] = [];
  readonly #rules: Rules;
  /** Sequences that are read again on another device. */
  #restoring: Restoring | null = null;
  #ending: { readonly error: unknown } | null = null;
  #turning: Promise<boolean> | null = null;
  /** Milliseconds that runs on lost devices have waited for kernels. */
  #compiledBefore = 0;

  constructor(parts: CoreParts) {
    [this.#parts, this.#opened, this.#report] = [parts, parts.opened, parts.report];
    const { pace, opened: first } = parts;
    this.#rules = {
      together: first.caches.together,
      drafts: first.place.draft !== null,
      whole: first.generation.loopCaches === "last",
      ahead: (hurry) => pace.ahead(hurry),
      chunk: (others) => pace.chunk(others),
    };
    this.model = { ...modelOf(first.generation), context: this.#context === Infinity ? null : this.#context };
    this.recovery = new Recovery(parts.recover !== null, parts.mostInVain, parts.wake);
    this.recovery.watch(first.place.device);
  }

  get opened(): Opened {
    return this.#opened;
  }
  /** Milliseconds that runs have waited for kernels. */
  get compiling(): number {
    return sessionsOf(this.#opened.place).reduce((sum, session) => sum + session.compiling, this.#compiledBefore);
  }

  /** Ends a sequence without a finish: at once if it waits, else once no run in flight has it. */
  fail(sequence: Sequence, error: unknown): void {
    if (sequence.over) return;
    sequence.failure = { error };
    sequence.stream.fail(error);
    if (this.roster.remove(sequence)) this.#ended(sequence);
    this.#parts.wake();
  }

  /** Ends all sequences, and later ones, and looks for no other device. */
  end(error: unknown): void {
    this.#ending = { error };
    this.failAll(error);
  }

  failAll(error: unknown): void {
    for (const sequence of this.roster.all) this.fail(sequence, error);
  }

  /**
   * Submits what may run, and receives the answer of the first run in flight; false if there is no sequence. Callers at
   * once share a turn. A fault ends sequences, and is not thrown.
   */
  turn(): Promise<boolean> {
    return (this.#turning ??= this.#work().finally(() => (this.#turning = null)));
  }

  async #work(): Promise<boolean> {
    try {
      if (this.#ending) this.failAll(this.#ending.error);
      this.#clear();
      if (this.roster.isEmpty) return false;
      await this.#admit();
      await this.#submit();
      const next = this.#flight[0];
      if (next) await this.#receive(next);
    } catch (error) {
      if (error instanceof DeviceLostError) {
        await this.#lose();
        if (!this.roster.isEmpty) await this.recover(error);
      } else {
        for (const run of this.#flight.splice(0)) landed(run);
        this.failAll(error);
      }
    }
    return true;
  }

  /** Takes out sequences that are over, once no run in flight has them; returns whether there were any. */
  #clear(): boolean {
    const ended = this.roster.takeEnded();
    for (const sequence of ended) {
      this.#parts.pace.ended(performance.now() - sequence.joined);
      this.roster.short = false;
      this.#opened.caches.release(sequence, true);
      this.#ended(sequence);
    }
    return ended.length > 0;
  }

  #ended(sequence: Sequence): void {
    sequence.settled.forget();
    sequence.stream.end();
    this.#parts.ended?.(sequence);
  }

  /** Gives places to sequences that wait, those that came first first. */
  async #admit(): Promise<void> {
    const { generation, caches, place } = this.#opened;
    while (this.roster.admits) {
      const admitted = caches.admit(this.roster.waiting);
      if (admitted.length === 0) return;
      const now = performance.now();
      const edits = admitted.map(({ sequence, writes, copies, reset }) => {
        this.roster.activate(sequence);
        if (sequence.cached === null) this.#report("began", now - sequence.began);
        sequence.join(now);
        return { reset, writes: [...this.#samplingWrites(generation, sequence), ...writes], copies };
      });
      for (const { reset, writes, copies } of edits) {
        if (reset) await place.prompt.resetStates(reset);
        await editStates(place.prompt, writes, copies);
      }
    }
  }

  #samplingWrites(generation: Generation, sequence: Sequence): ReturnType<typeof samplingWrites> {
    try {
      return samplingWrites(generation, sequence);
    } catch (error) {
      this.fail(sequence, error);
      return [];
    }
  }

  /** The most tokens of a sequence that are read. */
  get #context(): number {
    const { generation, caches } = this.#opened;
    return Math.min(generation.context ?? Infinity, caches.limit);
  }
  get #receiver(): Receiver {
    return { ...this.#opened, model: this.model, report: this.#report, context: this.#context };
  }

  /** Submits what the scheduler plans, as far as there is room in the caches. */
  async #submit(): Promise<void> {
    const tried = new Set<string>();
    const inFlight = (kind: Run["kind"]): number => this.#flight.reduce((n, run) => n + Number(run.kind === kind), 0);
    for (;;) {
      const flight = { steps: inFlight("step"), prompts: inFlight("prompt"), tried };
      const plan = nextPlan(this.roster.active, this.roster.waiting.length, flight, this.#rules);
      if (!plan) return;
      const given = this.#opened.caches.give(plan.runs.flat());
      if (given === "given") {
        if (plan.action === "draft") tried.add(triedBy(plan));
        await this.#start(plan);
      }
      // Answers may show that less room is needed, and end sequences.
      else if (this.#flight.length > 0) tried.add(triedBy(plan));
      else await this.#makeRoom(given);
    }
  }

  async #start({ action, runs }: Plan<Sequence>): Promise<void> {
    for (const wishes of runs)
      if (action === "draft") await this.#draft(wishes);
      else this.#flight.push(submitRun(this.#opened, action, wishes));
  }

  /** Guesses tokens of sequences, and reads them. */
  async #draft(wishes: readonly Wish<Sequence>[]): Promise<void> {
    const sequences = wishes.map(({ sequence }) => sequence);
    const { generation, caches, place } = this.#opened;
    const [{ pages }, { draft: programs }, { draft: guess }] = [generation, place, this.#parts];
    if (!pages || !programs || !guess) bug("there are no programs that guess");
    const drafter: Drafter = {
      generation: { ...generation, pages },
      caches,
      place,
      draft: programs,
      model: this.model,
    };
    const receiver = this.#receiver;
    const read = (): number => sequences.reduce((sum, s) => sum + s.read, 0);
    const [began, before] = [performance.now(), read()];
    let drafted: Drafted;
    try {
      drafted = await guess(drafter, wishes, (s, token) => addToken(s, token, receiver));
    } catch (error) {
      return this.#failOwn(sequences, error);
    }
    this.#report("drafted", drafted.guessed, drafted.right);
    this.#ran("step", sequences, read() - before, began);
    for (const sequence of drafted.changed) if (!sequence.failure) this.#opened.caches.settle(sequence);
  }

  /**
   * Makes room in the caches, with no run in flight: they grow, or the sequence that came last gives up its room and is
   * read again later.
   */
  async #makeRoom(given: "none" | Growth): Promise<void> {
    if (this.#clear()) return;
    const { caches, place } = this.#opened;
    if (given !== "none") return (await caches.grow(place.prompt, given)) ? undefined : this.#limited();
    const { active } = this.roster;
    if (active.length > 1) {
      this.#preempt(leastUrgent(active));
      this.roster.short = true;
      return;
    }
    // One sequence is left, and caches of axes that others filled have taken the memory that it needs.
    const [last] = active;
    this.#preempt(last!);
    const { limit } = caches;
    if (!(await caches.even(place.prompt))) return this.fail(last!, new CacheFullError());
    if (caches.limit < limit) this.#limited();
  }

  /** The device has less memory than was wanted. Sequences end where the caches do; longer ones fail. */
  #limited(): void {
    this.#report("cacheLimited", this.#opened.caches.use([]).limit);
    this.#endUnfitting();
  }
  #endUnfitting(): void {
    const { limit } = this.#opened.caches;
    for (const sequence of this.roster.all) if (!sequence.limitTo(limit)) this.fail(sequence, new CacheFullError());
  }

  /** Takes the room of a sequence for others. */
  #preempt(sequence: Sequence): void {
    this.#report("preempted", sequence.read - sequence.found);
    this.#putBack(sequence);
  }

  /** Takes a sequence from the device; it waits in front of those that came after it, and is read again. */
  #putBack(sequence: Sequence): void {
    this.#opened.caches.release(sequence, false);
    sequence.restart();
    this.roster.putBack(sequence);
  }

  /** Waits for a run, and takes its results. A fault of a run ends its sequences, and no others. */
  async #receive(run: Run): Promise<void> {
    const results = await run.results.catch((error: unknown) => this.#failOwn(run.sequences, error));
    this.#flight.splice(this.#flight.indexOf(run), 1);
    landed(run);
    if (!results) return;
    const tokens = run.lengths.reduce((a, b) => a + b, 0);
    this.#ran(run.kind, run.sequences, tokens, run.began);
    const changed = receive(run, results, this.#receiver);
    this.#restored(changed);
    const { generation, caches, place } = this.#opened;
    for (const sequence of changed) if (!sequence.failure) caches.settle(sequence);
    const writes = await biasWrites(generation, changed, (s, error) => this.fail(s, error));
    if (writes.length > 0) await editStates(place.prompt, writes);
  }

  /** Reports that sequences continue on another device, once all of them are read again. */
  #restored(changed: readonly Sequence[]): void {
    const event = this.#restoring?.after(changed, this.#opened.place.device);
    if (!event) return;
    this.#restoring = null;
    this.#parts.onRecovered?.(event);
  }

  #ran(kind: Run["kind"], { length: sequences }: readonly Sequence[], tokens: number, began: number): void {
    this.recovery.worked();
    const { compiling } = this;
    const milliseconds = this.#parts.pace.ran({ kind, began }, tokens, compiling, performance.now());
    this.#report("ran", { kind, sequences, tokens, milliseconds, compiling });
  }

  /** Takes all sequences from a lost device; they wait to be read again. */
  async #lose(): Promise<void> {
    if (this.recovery.noteLoss()) this.#report("deviceLost");
    await Promise.allSettled(this.#flight.map((r) => r.results));
    for (const run of this.#flight.splice(0)) landed(run);
    this.#clear();
    for (const sequence of this.roster.active.toReversed()) this.#putBack(sequence);
  }

  /** Continues on another device: every sequence is read again. */
  async recover(lost: DeviceLostError): Promise<void> {
    await this.#lose();
    if (this.#ending) return this.failAll(this.#ending.error);
    const active = this.roster.waiting.filter(({ cached }) => cached !== null);
    const signal = active.find(({ group }) => group)?.group?.signal;
    try {
      if (!this.recovery.mayReadAgain) throw lost;
      const restoring = new Restoring(lost, active);
      const next = await replacement(lost, this.#opened.generation, this.#parts, (generation, device) =>
        this.#parts.open(generation, device, signal),
      );
      if (!next) return this.failAll(lost);
      this.#compiledBefore = this.compiling;
      this.dispose();
      this.#replacement = next.place.device;
      this.#opened = next;
      this.#restoring = active.length > 0 ? restoring : null;
      this.recovery.replaced(next.place.device);
      this.#endUnfitting();
    } catch (error) {
      this.recovery.failed();
      this.failAll(error === lost ? lost : noOtherDevice(lost, error));
    }
  }

  /** Ends the sequences of a fault. A lost device concerns all. */
  #failOwn(sequences: readonly Sequence[], error: unknown): void {
    if (error instanceof DeviceLostError) throw error;
    for (const sequence of sequences) this.fail(sequence, error);
  }

  /** Frees its memory on the device, and the device that it opened itself. */
  dispose(): void {
    disposePlace(this.#opened.place);
    this.#replacement?.destroy();
    this.#replacement = null;
  }
}
