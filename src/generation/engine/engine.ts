// The engine of many callers: requests join and leave at every step. It works in a loop, whoever reads its streams.
import type { Device, WeightsInput } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { PagedCaches } from "./caches/paged.js";
import { Core, type Opened } from "./core.js";
import { draft } from "./draft.js";
import { EngineClosedError, QueueFullError } from "./errors.js";
import { checkEngine, type EngineLimits, type EngineOptions } from "./options.js";
import { MOST_AHEAD, Pace } from "./pace.js";
import { placeOn } from "./place.js";
import { reporterOf, type Report } from "./report.js";
import { sequenceOf } from "./request.js";
import type { Sequence } from "./sequence.js";
import { EventStream } from "./stream.js";
import type { Engine, EngineModel, EngineRequest, EngineState, EngineStream } from "./types.js";
import { useOf } from "./use.js";

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
  return new BatchEngine({ ...parts, opened: await openOn(generation, device, { ...parts, options: first }) });
}

interface EngineParts {
  readonly limits: EngineLimits;
  readonly weights: WeightsInput | undefined;
  readonly options: EngineOptions;
}

async function openOn(given: Generation, device: Device, { limits, weights, options }: EngineParts): Promise<Opened> {
  const [generation] = checkEngine(given, options);
  const caches = new PagedCaches(generation, limits.cacheMemory, limits.maxBatch);
  const of = { chunk: limits.chunk, ahead: MOST_AHEAD, drafts: options.draft === "routes" };
  const place = await placeOn(generation, device, weights, caches, { ...options, ...of });
  return { generation, caches, place };
}

/** Replacements of a device without an answered run between them: at the next loss requests fail. */
const MOST_IN_VAIN = 2;

class BatchEngine implements Engine {
  readonly #core: Core;
  readonly #limits: EngineLimits;
  readonly #report: Report;
  readonly #pace: Pace;
  /** Tokens of a sequence that the caches were to hold. */
  readonly #wanted: number;
  #closing: "drain" | "close" | null = null;
  #wake: (() => void) | null = null;
  readonly #loop: Promise<void>;

  constructor({ opened, ...parts }: EngineParts & { readonly opened: Opened }) {
    const { limits, options } = parts;
    [this.#limits, this.#pace] = [limits, new Pace(limits.chunk)];
    this.#report = reporterOf(options.observer ?? {});
    this.#wanted = opened.caches.limit;
    this.#core = new Core({
      opened,
      open: (generation, device) => openOn(generation, device, parts),
      ...(options.recover !== undefined && { recover: options.recover }),
      mostInVain: MOST_IN_VAIN,
      pace: this.#pace,
      report: this.#report,
      draft,
      ended: (sequence) => this.#ended(sequence),
      wake: () => this.#notify(),
    });
    this.#loop = this.#run();
  }

  #ended(sequence: Sequence): void {
    const outcome = sequence.finish !== null ? "finished" : sequence.aborted ? "cancelled" : "failed";
    this.#report("ended", outcome, useOf(this.#core.opened.generation, sequence));
  }

  get model(): EngineModel {
    return this.#core.model;
  }

  submit(request: EngineRequest): EngineStream {
    if (this.#closing) throw new EngineClosedError();
    const { generation, caches } = this.#core.opened;
    const stream = new EventStream(
      () => useOf(generation, sequence),
      () => sequence.settled.cancel(),
    );
    const limits = { limit: caches.limit, wanted: this.#wanted };
    const sequence = sequenceOf(generation, request, caches, limits, stream, (error) =>
      this.#core.fail(sequence, error),
    );
    const { roster } = this.#core;
    roster.add(sequence);
    const queued = roster.queued(caches.places);
    if (queued > this.#limits.queue) {
      roster.remove(sequence);
      sequence.settled.forget();
      const others = roster.queued(caches.places);
      throw new QueueFullError(others, this.#pace.secondsFor(Math.max(1, others), this.#limits.maxBatch));
    }
    this.#report("queued");
    this.#notify();
    return stream;
  }

  get state(): EngineState {
    const { roster, recovery, opened } = this.#core;
    const { active, waiting } = roster;
    const { losses: lost, ready } = recovery;
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
      if ((await this.#core.turn()) || !this.#core.roster.isEmpty) continue;
      if (this.#closing) return;
      const lost = this.#core.opened.place.device.lostError;
      if (lost && this.#core.recovery.due(lost)) await this.#core.recover(lost);
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
