// The core of every engine: it admits sequences, schedules runs, submits them ahead of their answers, and receives the
// answers in order. Its owner says when: a server in a loop, a generator whenever its caller wants a token. Further
// abilities are parts: a package carries the parts that it uses.
import { DeviceLostError, type Device, type Session } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Caches, Given } from "./caches/caches.js";
import { nextSnapshot } from "./caches/snapshot-rule.js";
import { disposePlace, knownTo, sessionsOf, type Place } from "./place.js";
import { editStates, landed, receive, submitRun, type Receiver, type Run } from "./runs.js";
import { biasWrites, samplingWrites } from "./sampling-states.js";
import { nextPlan, type DraftRules, type Paced, type Rules, type Wish } from "./sequences/scheduler.js";
import type { Sequence } from "./sequences/sequence.js";
import { layersOn } from "./summary.js";

/** A generation on a device, with empty caches. */
export interface Opened<C extends Caches = Caches> {
  readonly generation: Generation;
  readonly caches: C;
  readonly place: Place;
}

export interface CoreParts<C extends Caches = Caches> {
  readonly opened: Opened<C>;
  readonly pace: Paced;
  /** Makes room in the caches, with no run in flight, when they gave none or must grow. By default they grow. */
  makeRoom?(core: Core<C>, given: Exclude<Given, "given">): Promise<void>;
  readonly drafts?: Drafts<C>;
  /** Without it the loss of the device ends all sequences. */
  readonly recovery?: LossHandler<C>;
  /** Called when a run was answered. */
  readonly ran?: (run: Ran) => void;
  /** Called when a sequence has ended, after its last event. */
  readonly ended?: (sequence: Sequence) => void;
  /** Called when there may be something to do. */
  readonly wake?: () => void;
}

export interface Ran extends Pick<Run, "kind" | "sequences" | "began"> {
  /** Tokens that were read. */
  readonly tokens: number;
}

/** Guesses tokens of sequences, and reads them. */
export interface Drafts<C extends Caches> extends DraftRules {
  /** Returns the sequences that have new tokens. */
  run(receiver: Receiver & Opened<C>, wishes: readonly Wish<Sequence>[]): Promise<readonly Sequence[]>;
}

/** What to do if the device is lost. */
export interface LossHandler<C extends Caches> {
  /** Devices that were lost. */
  readonly losses: number;
  watch(device: Device): void;
  /** The device is lost. */
  note(): void;
  /** A run was answered, which changed these sequences. */
  worked(changed: readonly Sequence[]): void;
  /** Continues on another device, which reads all sequences again; fails them if it cannot. No run is in flight. */
  recover(core: Core<C>, lost: DeviceLostError): Promise<void>;
  dispose(): void;
}

export class Core<C extends Caches = Caches> {
  readonly roster = new Roster();
  readonly #parts: CoreParts<C>;
  readonly #rules: Rules;
  readonly #layers: readonly number[];
  #opened: Opened<C>;
  /** Runs in the order of their submission. */
  readonly #flight: Run[] = [];
  #ending: { readonly error: unknown } | null = null;
  #turning: Promise<boolean> | null = null;
  /** Milliseconds that runs on lost devices have waited for kernels. */
  #compiledBefore = 0;

  constructor(parts: CoreParts<C>) {
    [this.#parts, this.#opened] = [parts, parts.opened];
    const { generation, caches, place } = parts.opened;
    const { snapshots } = caches;
    this.#layers = layersOn(generation);
    this.#rules = {
      together: caches.together,
      whole: generation.loopCaches === "last",
      ends: snapshots ? (from, length) => nextSnapshot(from, length, snapshots) : null,
      drafts: parts.drafts ?? null,
      pace: parts.pace,
    };
    parts.recovery?.watch(place.device);
  }

  get opened(): Opened<C> {
    return this.#opened;
  }
  /** Milliseconds that runs have waited for kernels. */
  get compiling(): number {
    return sessionsOf(this.#opened.place).reduce((sum, session) => sum + session.compiling, this.#compiledBefore);
  }
  /** Devices that were lost and replaced. */
  get losses(): number {
    return this.#parts.recovery?.losses ?? 0;
  }
  /** The most tokens of a sequence that are read. */
  get context(): number {
    const { generation, caches } = this.#opened;
    return Math.min(generation.context ?? Infinity, caches.limit);
  }

  /** Ends a sequence without a finish: at once if it waits, else once no run in flight has it. */
  fail(sequence: Sequence, error: unknown): void {
    if (sequence.over) return;
    sequence.fail(error);
    if (this.roster.remove(sequence)) this.#ended(sequence);
    this.#parts.wake?.();
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
      this.clear();
      if (this.roster.all.length === 0) return false;
      await this.#admit();
      await this.#submit();
      const next = this.#flight[0];
      if (next) await this.#receive(next);
    } catch (error) {
      if (error instanceof DeviceLostError) await this.#lose(error);
      else {
        for (const run of this.#flight.splice(0)) landed(run);
        this.failAll(error);
      }
    }
    return true;
  }

  /** Takes out sequences that are over, once no run in flight has them; returns whether there were any. */
  clear(): boolean {
    const ended = this.roster.active.filter((s) => s.over && s.inFlight === 0);
    for (const sequence of ended) {
      this.roster.deactivate(sequence);
      this.roster.short = false;
      this.#opened.caches.release(sequence, true);
      this.#ended(sequence);
    }
    return ended.length > 0;
  }

  #ended(sequence: Sequence): void {
    sequence.reader.end();
    this.#parts.ended?.(sequence);
  }

  /** Gives places to sequences that wait, those that came first first. */
  async #admit(): Promise<void> {
    const { generation, caches, place } = this.#opened;
    while (this.roster.admits) {
      const admitted = caches.admit(this.roster.waiting);
      if (admitted.length === 0) return;
      const now = performance.now();
      for (const { sequence } of admitted) {
        this.roster.activate(sequence);
        sequence.join(now);
      }
      for (const { sequence, reset, writes = [], edit } of admitted) {
        if (reset) await place.prompt.resetStates(knownTo(generation.prompt, reset));
        let own: ReturnType<typeof samplingWrites> = [];
        try {
          own = samplingWrites(generation, sequence);
        } catch (error) {
          this.fail(sequence, error);
        }
        await editStates(place.prompt, [...own, ...writes], edit);
      }
      if (place.given)
        await this.#readGiven(
          place.given,
          admitted.map(({ sequence }) => sequence),
        );
    }
  }

  /** Reads the given inputs of sequences that have got their places. A fault ends these. */
  async #readGiven(session: Session, sequences: readonly Sequence[]): Promise<void> {
    const { generation } = this.#opened;
    const { given } = sequences[0]!.settled;
    if (!given) return;
    const { live } = sequences[0]!.settled;
    const rows = sequences[0]!.group?.length ?? 1;
    const extents = { ...given.extents, [generation.batchAxis]: rows };
    const ragged = Object.keys(given.lengths).length > 0;
    const options = { outputs: [], extents, ...(ragged && { lengths: given.lengths }), ...(live && { live }) };
    await session.run(given.inputs, options).catch((error: unknown) => this.#failOwn(sequences, error));
  }

  get #receiver(): Receiver & Opened<C> {
    return { ...this.#opened, layers: this.#layers, context: this.context };
  }

  /** Submits what the scheduler plans, as far as there is room in the caches. */
  async #submit(): Promise<void> {
    const tried = new Set<string>();
    const inFlight = (kind: Run["kind"]): number => this.#flight.reduce((n, run) => n + Number(run.kind === kind), 0);
    for (;;) {
      const flight = { steps: inFlight("step"), prompts: inFlight("prompt"), tried };
      const plan = nextPlan(this.roster.active, this.roster.waiting.length, flight, this.#rules);
      if (!plan) return;
      const { action, runs, tried: name } = plan;
      const { caches, place } = this.#opened;
      const given = caches.give(runs.flat());
      if (given === "given")
        for (const wishes of runs)
          if (action !== "draft") {
            this.#flight.push(submitRun(this.#opened, action, wishes));
            const copies = caches.snapshot?.(wishes);
            if (copies) await editStates(place.prompt, [], copies);
          } else {
            tried.add(name);
            await this.#draft(wishes);
          }
      // Answers may show that less room is needed, and end sequences.
      else if (this.#flight.length > 0) tried.add(name);
      else if (this.clear()) continue;
      else if (this.#parts.makeRoom) await this.#parts.makeRoom(this, given);
      else if (given !== "none") await caches.grow(place.prompt, given);
    }
  }

  async #draft(wishes: readonly Wish<Sequence>[]): Promise<void> {
    const sequences = wishes.map(({ sequence }) => sequence);
    const drafted = this.#parts.drafts!.run(this.#receiver, wishes);
    this.#settle((await drafted.catch((error: unknown) => this.#failOwn(sequences, error))) ?? []);
  }

  /** Waits for a run, and takes its results. A fault of a run ends its sequences, and no others. */
  async #receive(run: Run): Promise<void> {
    const results = await run.results.catch((error: unknown) => this.#failOwn(run.sequences, error));
    this.#flight.splice(this.#flight.indexOf(run), 1);
    landed(run);
    if (!results) return;
    this.#parts.ran?.({ ...run, tokens: run.lengths.reduce((a, b) => a + b, 0) });
    const changed = receive(run, results, this.#receiver);
    this.#settle(changed);
    const { generation, place } = this.#opened;
    const writes = await biasWrites(generation, changed, (s, error) => this.fail(s, error));
    if (writes.length > 0) await editStates(place.prompt, writes);
  }

  #settle(changed: readonly Sequence[]): void {
    this.#parts.recovery?.worked(changed);
    for (const sequence of changed) if (!sequence.failure) this.#opened.caches.settle?.(sequence);
  }

  /** Takes all sequences from a lost device. */
  async #lose(lost: DeviceLostError): Promise<void> {
    const { recovery } = this.#parts;
    recovery?.note();
    await Promise.allSettled(this.#flight.map((r) => r.results));
    for (const run of this.#flight.splice(0)) landed(run);
    this.clear();
    if (this.#ending || !recovery) return this.failAll(this.#ending?.error ?? lost);
    if (this.roster.all.length > 0) await recovery.recover(this, lost);
  }

  /** Continues on another device. */
  replace(opened: Opened<C>): void {
    this.#compiledBefore = this.compiling;
    this.#opened.caches.dispose?.();
    disposePlace(this.#opened.place);
    this.#opened = opened;
  }

  /** Ends the sequences of a fault. A lost device concerns all. */
  #failOwn(sequences: readonly Sequence[], error: unknown): void {
    if (error instanceof DeviceLostError) throw error;
    for (const sequence of sequences) this.fail(sequence, error);
  }

  /** Frees its memory on the device, and the device that it opened itself. */
  dispose(): void {
    this.#opened.caches.dispose?.();
    disposePlace(this.#opened.place);
    this.#parts.recovery?.dispose();
  }
}

class Roster {
  /** Sequences without a place, first come first. */
  readonly #waiting: Sequence[] = [];
  /** Sequences with a place, first come first. */
  readonly #active: Sequence[] = [];
  /** Whether a sequence gave up its memory: no other begins until a sequence has ended. */
  short = false;

  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }
  get active(): readonly Sequence[] {
    return this.#active;
  }
  get all(): readonly Sequence[] {
    return [...this.#active, ...this.#waiting];
  }
  /** Whether those that wait may begin, if there are places. */
  get admits(): boolean {
    if (this.#active.length === 0) this.short = false;
    return !this.short && this.#waiting.length > 0;
  }

  /** Adds a sequence that waits, in front of later ones. */
  add(sequence: Sequence): void {
    const at = this.#waiting.findIndex((s) => s.began > sequence.began);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, sequence);
  }

  /** Takes out a sequence that waits; false if it does not. */
  remove(sequence: Sequence): boolean {
    const at = this.#waiting.indexOf(sequence);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** A sequence that waited has got a place. */
  activate(sequence: Sequence): void {
    this.remove(sequence);
    this.#active.push(sequence);
  }

  /** Takes out a sequence that has a place. */
  deactivate(sequence: Sequence): void {
    this.#active.splice(this.#active.indexOf(sequence), 1);
  }
}
