// The engine of many callers: requests join and leave at every step. It works in a loop, whoever reads its streams.
import type { Device, WeightsInput } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Caches } from "./caches/caches.js";
import type { Core, Ran } from "./core.js";
import { EngineClosedError, QueueFullError } from "./errors.js";
import { cacheUse, coreOf, openOn } from "./layout.js";
import { type EngineLimits, type EngineOptions, limitsOf } from "./options.js";
import { MOST_AHEAD, Pace } from "./pace.js";
import { Recovery } from "./recovery.js";
import { reporterOf, type Report } from "./report.js";
import type { Sequence } from "./sequences/sequence.js";
import { RequestStream } from "./stream.js";
import { modelOf, useOf } from "./summary.js";
import type { Engine, EngineModel, EngineRequest, EngineState, EngineStream } from "./types.js";

/**
 * Loads a generation and its weights onto a device. With caches in rows requests take turns. Throws what `load` throws,
 * and InputError for an invalid option.
 */
export async function createEngine(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: EngineOptions = {},
): Promise<Engine> {
  const limits = limitsOf(generation, options);
  return new RequestEngine(
    await openOn(generation, device, weights, { ...limits, ahead: MOST_AHEAD }, options),
    limits,
    options,
  );
}

/** Replacements of a device without an answered run between them: at the next loss requests fail. */
const MOST_IN_VAIN = 2;

class RequestEngine implements Engine {
  readonly model: EngineModel;
  readonly #core: Core;
  readonly #recovery: Recovery<Caches>;
  readonly #limits: EngineLimits;
  readonly #report: Report;
  readonly #pace: Pace;
  /** Tokens of a sequence that the caches were to hold. */
  readonly #wanted: number;
  #closing: "drain" | "close" | null = null;
  #wake: (() => void) | null = null;
  readonly #loop: Promise<void>;

  constructor(
    { opened, reopen }: Awaited<ReturnType<typeof openOn>>,
    limits: EngineLimits,
    { observer = {}, recover, draft = "off" }: EngineOptions,
  ) {
    this.#limits = limits;
    const pace = (this.#pace = new Pace(limits.chunk));
    const report = (this.#report = reporterOf(observer));
    this.#wanted = opened.caches.limit;
    const wake = (): void => this.#notify();
    this.#recovery = new Recovery({
      recover,
      open: reopen,
      mostInVain: MOST_IN_VAIN,
      lost: () => report("deviceLost"),
      wake,
    });
    const ran = (run: Ran): void => this.#ran(run);
    this.#core = coreOf(
      { opened, pace, recovery: this.#recovery, ran, ended: (sequence) => this.#ended(sequence), wake },
      { draft, report, ran },
    );
    const { context } = this.#core;
    this.model = { ...modelOf(opened.generation), context: context === Infinity ? null : context };
    this.#loop = this.#run();
  }

  #ran({ kind, sequences: { length: sequences }, tokens, began }: Ran): void {
    const { compiling } = this.#core;
    const milliseconds = this.#pace.ran({ kind, began }, tokens, compiling, performance.now());
    this.#report("ran", { kind, sequences, tokens, milliseconds, compiling });
  }

  #ended(sequence: Sequence): void {
    if (sequence.phase !== "waiting") this.#pace.ended(performance.now() - sequence.joined);
    const error = sequence.failure?.error;
    const aborted = sequence.settled.signal?.aborted || (error instanceof Error && error.name === "AbortError");
    const outcome = sequence.finish !== null ? "finished" : aborted ? "cancelled" : "failed";
    this.#report("ended", outcome, useOf(this.#core.opened.generation, sequence));
  }

  submit(request: EngineRequest): EngineStream {
    if (this.#closing) throw new EngineClosedError();
    const { roster } = this.#core;
    const stream = new RequestStream(this.#core, { ...request }, this.#wanted, this.#report);
    const { sequence } = stream;
    const before = this.#queued;
    roster.add(sequence);
    if (this.#queued > this.#limits.queue) {
      roster.remove(sequence);
      stream.forget();
      throw new QueueFullError(before, this.#pace.secondsFor(Math.max(1, before), this.#limits.maxBatch));
    }
    this.#report("queued");
    this.#notify();
    return stream;
  }

  /** The number of sequences that wait and cannot begin. Places of ended sequences count as free. */
  get #queued(): number {
    const { roster, opened } = this.#core;
    const leaving = roster.active.filter(({ over }) => over).length;
    return Math.max(0, roster.waiting.length - (roster.short ? 0 : opened.caches.places) - leaving);
  }

  get state(): EngineState {
    const { roster, opened } = this.#core;
    const { active, waiting } = roster;
    const { losses: lost, ready } = this.#recovery;
    return { active: active.length, queued: waiting.length, cache: cacheUse(opened, active), lost, ready };
  }

  async drain(): Promise<void> {
    this.#closing ??= "drain";
    this.#notify();
    await this.#loop;
  }

  async close(): Promise<void> {
    this.#closing = "close";
    this.#core.end(new EngineClosedError());
    this.#recovery.stop();
    this.#notify();
    await this.#loop;
    this.#core.dispose();
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }

  async #run(): Promise<void> {
    for (;;) {
      // A request may have come while it found none.
      if ((await this.#core.turn()) || this.#core.roster.all.length > 0) continue;
      if (this.#closing) return;
      const lost = this.#core.opened.place.device.lostError;
      if (lost && this.#recovery.due(lost)) await this.#recovery.recover(this.#core, lost);
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
