// The engine of many callers: requests join and leave at every step. It works in a loop, whoever reads its streams.
import type { Device, WeightsInput } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import { PagedCaches } from "./caches/paged.js";
import { Core, type Opened, type Ran } from "./core.js";
import { draftsOf } from "./draft.js";
import { EngineClosedError, QueueFullError } from "./errors.js";
import { checkEngine, type EngineLimits, type EngineOptions } from "./options.js";
import { MOST_AHEAD, Pace } from "./pace.js";
import { placeOn } from "./place.js";
import { Recovery } from "./recovery.js";
import { reporterOf, type Report } from "./report.js";
import { settle } from "./request.js";
import { makeRoom } from "./room.js";
import { Sequence } from "./sequence.js";
import { RequestStream } from "./stream.js";
import type { Engine, EngineModel, EngineRequest, EngineState, EngineStream } from "./types.js";
import { modelOf, useOf } from "./use.js";

/**
 * Loads a generation with caches in pages, and its weights, onto a device. Throws what `load` throws, and InputError
 * for an invalid option.
 */
export async function createEngine(
  generation: Generation,
  device: Device,
  weights?: WeightsInput,
  options: EngineOptions = {},
): Promise<Engine> {
  const [, limits] = checkEngine(generation, options);
  const { signal, weightsOf, ...others } = options;
  const parts = { limits, weights, options: others };
  const first = { ...others, ...(signal && { signal }), ...(weightsOf && { weightsOf }) };
  return new RequestEngine({ ...parts, opened: await openOn(generation, device, { ...parts, options: first }) });
}

interface EngineParts {
  readonly limits: EngineLimits;
  readonly weights: WeightsInput | undefined;
  readonly options: EngineOptions;
}

async function openOn(
  given: Generation,
  device: Device,
  { limits, weights, options }: EngineParts,
): Promise<Opened<PagedCaches>> {
  const [generation] = checkEngine(given, options);
  const { draft, first } = generation.pages;
  const caches = new PagedCaches(generation, limits.cacheMemory, limits.maxBatch, first !== null);
  const others: (readonly [Program, number])[] = [];
  if (options.draft === "routes" && draft) others.push([draft.step, MOST_AHEAD], [draft.verify, 1]);
  if (first) others.push([first, MOST_AHEAD]);
  const of = { chunk: limits.chunk, ahead: MOST_AHEAD, others };
  const place = await placeOn(generation, device, weights, caches, { ...options, ...of });
  return { generation, caches, place: first ? { ...place, first: place.others.at(-1) } : place };
}

/** Replacements of a device without an answered run between them: at the next loss requests fail. */
const MOST_IN_VAIN = 2;

class RequestEngine implements Engine {
  readonly model: EngineModel;
  readonly #core: Core<PagedCaches>;
  readonly #recovery: Recovery<PagedCaches>;
  readonly #limits: EngineLimits;
  readonly #report: Report;
  readonly #pace: Pace;
  /** Tokens of a sequence that the caches were to hold. */
  readonly #wanted: number;
  #closing: "drain" | "close" | null = null;
  #wake: (() => void) | null = null;
  readonly #loop: Promise<void>;

  constructor({ opened, ...parts }: EngineParts & { readonly opened: Opened<PagedCaches> }) {
    const { limits, options } = parts;
    this.#limits = limits;
    const pace = (this.#pace = new Pace(limits.chunk));
    const report = (this.#report = reporterOf(options.observer ?? {}));
    this.#wanted = opened.caches.limit;
    const wake = (): void => this.#notify();
    this.#recovery = new Recovery({
      recover: options.recover,
      open: (generation, device) => openOn(generation, device, parts),
      mostInVain: MOST_IN_VAIN,
      lost: () => report("deviceLost"),
      wake,
    });
    this.#core = new Core({
      opened,
      pace,
      makeRoom: (core, given) => makeRoom(core, given, report),
      ...(options.draft === "routes" && { drafts: draftsOf(report, (run) => this.#ran(run)) }),
      recovery: this.#recovery,
      ran: (run) => this.#ran(run),
      ended: (sequence) => this.#ended(sequence),
      wake,
    });
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
    const { opened, roster } = this.#core;
    const { generation, caches } = opened;
    const own = { ...request };
    const settled = settle(generation, own, caches.limit, this.#wanted);
    const stream = new RequestStream({
      request: own,
      caches: () => this.#core.opened.caches,
      report: this.#report,
      use: () => useOf(generation, sequence),
      abort: (reason) => this.#core.fail(sequence, reason),
    });
    const sequence = new Sequence(settled, stream, generation.axes.length, caches.limit);
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
    return { active: active.length, queued: waiting.length, cache: opened.caches.use(active), lost, ready };
  }

  async drain(): Promise<void> {
    this.#closing ??= "drain";
    this.#notify();
    await this.#loop;
  }

  async close(): Promise<void> {
    this.#closing = "close";
    this.#core.end(new EngineClosedError());
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
