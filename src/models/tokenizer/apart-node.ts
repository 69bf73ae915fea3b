// Tokenizers in worker threads, which are ended when a request takes longer than it may. Node only.
import { Worker } from "node:worker_threads";
import type { Answers, Apart, Asking, Opening } from "./apart.js";
import { timeFor, tooSlow } from "./deadline.js";
import { TokenizerError } from "./errors.js";
import type { FromWorker, ToWorker } from "./worker.js";

/** Workers of a tokenizer: each has the whole vocabulary. */
const MOST_WORKERS = 2;
/** Milliseconds after which a request that no worker began is refused: the texts before it take long. */
const WAIT = 10_000;
/** Milliseconds without a request after which workers end. */
const IDLE = 60_000;
/** The most milliseconds that a worker may take to read its files, and for each of their characters. */
const OPENING = { any: 20_000, character: 0.005 } as const;
/** The most MiB of a worker's heap, and for each MiB of its files. */
const HEAP = { any: 1024, file: 32 } as const;

interface Job {
  readonly message: ToWorker;
  readonly milliseconds: number;
  /** Starts the time after which it is refused. Before the first worker has read its files no time runs. */
  wait(): void;
  /** Called when a worker begins it. */
  begun(): void;
  resolve(value: Answers[keyof Answers] | null): void;
  reject(fault: unknown): void;
}

export class Workers implements Apart {
  readonly #opening: Opening;
  readonly #waiting: Job[] = [];
  readonly #idle: OneWorker[] = [];
  #workers = 0;
  /** Workers that have read their files. */
  #started = 0;

  /** Starts nothing yet. */
  constructor(opening: Opening) {
    this.#opening = opening;
  }

  async ready(): Promise<void> {
    this.#forgetEnded();
    if (this.#idle.length === 0) this.#free(await this.#start());
  }

  ask<K extends keyof Answers>(
    asking: Extract<Asking, { readonly kind: K }>,
    characters: number,
    signal: AbortSignal | null = null,
  ): Promise<Answers[K]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const leave = (fault: unknown): void => {
        const at = this.#waiting.indexOf(job);
        if (at >= 0) this.#waiting.splice(at, 1);
        job.reject(fault);
      };
      const aborted = (): void => leave(signal!.reason);
      let timer: NodeJS.Timeout | undefined;
      const settled = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
      };
      const job: Job = {
        message: asking,
        milliseconds: timeFor(characters),
        wait: () => (timer ??= setTimeout(() => leave(busy(this.#opening.file)), WAIT)),
        begun: () => clearTimeout(timer),
        resolve(value) {
          settled();
          resolve(value as Answers[K]); // a worker answers by the kind of the request
        },
        reject(fault) {
          settled();
          reject(fault);
        },
      };
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiting.push(job);
      this.#forgetEnded();
      if (this.#started > 0) job.wait();
      this.#next();
    });
  }

  /** Gives the next request to a worker that has nothing to do, or starts one. */
  #next(): void {
    if (this.#waiting.length === 0) return;
    this.#forgetEnded();
    const worker = this.#idle.pop();
    if (worker) {
      void this.#run(worker, this.#waiting.shift()!);
    } else if (this.#workers < MOST_WORKERS)
      this.#start().then(
        (started) => this.#free(started),
        (fault: unknown) => {
          this.#waiting.shift()?.reject(fault);
          this.#next();
        },
      );
  }

  /** Workers may end while they have nothing to do. */
  #forgetEnded(): void {
    for (const worker of this.#idle.filter(({ ended }) => ended)) {
      this.#idle.splice(this.#idle.indexOf(worker), 1); // it is one of them
      this.#forget();
    }
  }

  async #run(worker: OneWorker, job: Job): Promise<void> {
    job.begun();
    try {
      job.resolve(await worker.ask(job.message, job.milliseconds));
    } catch (fault) {
      job.reject(fault);
    }
    this.#free(worker);
  }

  #free(worker: OneWorker): void {
    if (worker.ended) {
      this.#forget();
      return this.#next();
    }
    this.#idle.push(worker);
    worker.rest();
    this.#next();
  }

  #forget(): void {
    this.#workers--;
    this.#started--;
  }

  async #start(): Promise<OneWorker> {
    this.#workers++;
    try {
      const { tokenizerWorker } = await import("../../ground/bundled.js");
      const { json, file, config } = this.#opening;
      const characters = (json?.length ?? 0) + (config?.length ?? 0);
      const worker = new OneWorker(tokenizerWorker, file, characters);
      await worker.ask({ kind: "open", opening: this.#opening }, OPENING.any + OPENING.character * characters);
      this.#started++;
      for (const job of this.#waiting) job.wait();
      return worker;
    } catch (fault) {
      this.#workers--;
      throw fault;
    }
  }
}

/** A worker and the request that it answers. The worker keeps the process alive only during a request. */
class OneWorker {
  readonly #worker: Worker;
  readonly #file: string;
  #pending: { resolve(reply: FromWorker): void; reject(fault: Error): void } | null = null;
  #timer: NodeJS.Timeout | null = null;
  ended = false;

  constructor(script: string, file: string, characters: number) {
    this.#file = file;
    this.#worker = new Worker(script, {
      eval: true,
      name: "modc tokenizer",
      execArgv: [],
      // A library may print; only the command line does here.
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: HEAP.any + Math.ceil((HEAP.file * characters) / 2 ** 20) },
    });
    this.#worker.on("message", (reply: FromWorker) => this.#pending?.resolve(reply));
    this.#worker.on("error", (fault: NodeJS.ErrnoException) =>
      this.#end(fault.code === "ERR_WORKER_OUT_OF_MEMORY" ? tooLarge(file) : fault),
    );
    this.#worker.on("exit", () => this.#end(tooLarge(file)));
  }

  #end(fault: Error): void {
    this.ended = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#pending?.reject(fault);
  }

  /** Ends the worker if it takes longer. */
  async ask(message: ToWorker, milliseconds: number): Promise<Answers[keyof Answers] | null> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#worker.ref();
    const reply = await new Promise<FromWorker>((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#timer = setTimeout(() => {
        this.#end(tooSlow(this.#file, milliseconds));
        void this.#worker.terminate();
      }, milliseconds);
      this.#worker.postMessage(message, []);
    }).finally(() => {
      this.#pending = null;
      if (this.#timer) clearTimeout(this.#timer);
      this.#worker.unref();
    });
    if (reply.kind === "result") return reply.value;
    if (reply.kind === "bug") throw new Error(`in the worker of ${this.#file}: ${reply.message}`);
    throw new TokenizerError(reply.code, reply.message, { hint: reply.hint, file: reply.file });
  }

  /** Ends the worker when it is not asked for a while. */
  rest(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#end(new Error("the worker has ended"));
      void this.#worker.terminate();
    }, IDLE);
    this.#timer.unref();
  }
}

const busy = (file: string): TokenizerError =>
  new TokenizerError(
    "busy",
    `${file} has not started on this text after ${WAIT / 1000} s, because earlier texts take long`,
    {
      file,
      hint: "try again later",
    },
  );

const tooLarge = (file: string): TokenizerError =>
  new TokenizerError("too-slow", `${file} needs more memory for this text than is allowed`, {
    file,
    hint: "use a tokenizer.json that you trust, or another text",
  });
