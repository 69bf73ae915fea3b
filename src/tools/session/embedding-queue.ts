// Requests for embeddings, one after the other: those that wait for the device are bounded, and may go away.
import { QueueFullError, type EngineObserver, type Outcome } from "../../generation/engine/index.js";
import { reporterOf, type Report } from "../../generation/engine/report.js";

export type Texts = readonly (readonly number[])[];

/** Computes a vector for each text, in one run. */
export type RunTexts = (texts: Texts) => Promise<readonly Float32Array[]>;

export interface QueueLimits {
  /** Texts of a run. */
  readonly maxBatch: number;
  /** Sequences in the queue. */
  readonly queue: number;
  /** Tokens of a run with those that fill its texts up; one text may have more. */
  readonly tokens: number;
}

interface Job {
  readonly texts: Texts;
  readonly signal: AbortSignal;
  readonly came: number;
  readonly vectors: Float32Array[];
  readonly resolve: (vectors: readonly Float32Array[]) => void;
  readonly reject: (reason: unknown) => void;
}

export class EmbeddingQueue {
  readonly #run: RunTexts;
  readonly #limits: QueueLimits;
  readonly #report: Report;
  /** The first is under way. */
  readonly #jobs: Job[] = [];
  /** Texts of the run under way. */
  #active = 0;
  /** Milliseconds that a text takes. */
  #pace = 0;
  #working: Promise<void> | null = null;

  constructor(run: RunTexts, limits: QueueLimits, observer: EngineObserver = {}) {
    this.#run = run;
    this.#limits = limits;
    this.#report = reporterOf(observer);
  }

  get active(): number {
    return this.#active;
  }

  /** Sequences in the queue. */
  get queued(): number {
    return this.#jobs.reduce((n, { texts, vectors }) => n + texts.length - vectors.length, 0) - this.#active;
  }

  /** Resolves when nothing is under way or waits. */
  async idle(): Promise<void> {
    await this.#working;
  }

  /** Throws QueueFullError where there is no room for the texts. */
  async add(texts: Texts, signal: AbortSignal): Promise<readonly Float32Array[]> {
    signal.throwIfAborted();
    const { maxBatch, queue } = this.#limits;
    const waiting = Math.max(0, this.#active + this.queued - maxBatch);
    if (this.#active + this.queued + texts.length > maxBatch + queue)
      throw new QueueFullError(waiting, Math.max(1, Math.min(600, Math.ceil((this.#pace * this.queued) / 1000))));
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#leave(job);
      const settled = (): void => signal.removeEventListener("abort", leave);
      const job: Job = {
        texts,
        signal,
        came: performance.now(),
        vectors: [],
        resolve: (vectors) => (settled(), resolve(vectors)),
        reject: (reason) => (settled(), reject(reason)),
      };
      signal.addEventListener("abort", leave);
      this.#jobs.push(job);
      for (const _ of texts) this.#report("queued");
      this.#working ??= this.#work();
    });
  }

  /** Takes out a job that waits; the one under way ends with its run. */
  #leave(job: Job): void {
    if (job === this.#jobs[0]) return;
    this.#jobs.splice(this.#jobs.indexOf(job), 1);
    this.#end(job.texts, "cancelled");
    job.reject(job.signal.reason);
  }

  async #work(): Promise<void> {
    for (let job = this.#jobs[0]; job; job = this.#jobs[0]) {
      try {
        await this.#answer(job);
        this.#jobs.shift();
        job.resolve(job.vectors);
      } catch (fault) {
        this.#jobs.shift();
        this.#active = 0;
        this.#end(job.texts.slice(job.vectors.length), job.signal.aborted ? "cancelled" : "failed");
        job.reject(fault);
      }
    }
    this.#working = null;
  }

  async #answer({ texts, signal, came, vectors }: Job): Promise<void> {
    while (vectors.length < texts.length) {
      signal.throwIfAborted();
      const batch = firstOf(texts, vectors.length, this.#limits);
      this.#active = batch.length;
      const began = performance.now();
      for (const _ of batch) this.#report("began", began - came);
      const computed = await this.#run(batch);
      const milliseconds = performance.now() - began;
      this.#pace = milliseconds / batch.length;
      this.#active = 0;
      for (const vector of computed) vectors.push(vector);
      this.#report("ran", { kind: "prompt", sequences: batch.length, tokens: tokensIn(batch), milliseconds });
      this.#end(batch, "finished");
    }
  }

  #end(texts: Texts, outcome: Outcome): void {
    const none = { own: 0, dense: 0 };
    for (const text of texts)
      this.#report("ended", outcome, {
        promptTokens: outcome === "finished" ? text.length : 0,
        cachedTokens: 0,
        generatedTokens: 0,
        routes: [],
        flops: none,
        cache: none,
      });
  }
}

const tokensIn = (texts: Texts): number => texts.reduce((n, { length }) => n + length, 0);

/** The texts of a run from this one on, one at least. */
function firstOf(texts: Texts, from: number, { maxBatch, tokens }: QueueLimits): Texts {
  let [to, width] = [from, 0];
  for (; to < texts.length && to - from < maxBatch; to++) {
    width = Math.max(width, texts[to]!.length);
    if (to > from && (to - from + 1) * width > tokens) break;
  }
  return texts.slice(from, to);
}
