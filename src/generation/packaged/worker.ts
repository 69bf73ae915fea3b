// The model of a package in a worker, with the API of one that is not: a page, or Node's event loop, stays free.
import { inNode } from "../../runtime/device/device.js";
import type { GeneratedText, Summary } from "../generate/index.js";
import type { Prompts } from "../generate/prompts.js";
import { DeviceLostError, DisposedError, InputError, UnsupportedError } from "../../runtime/device/errors.js";
import type { Inputs } from "../../runtime/run/inputs.js";
import { resultOf, type Results } from "../../runtime/run/outputs.js";
import type { RunOptions } from "../../runtime/run/session-options.js";
import { PackageError } from "./errors.js";
import type { LoadedModel, LoadModelOptions, LoadProgress, ModelGenerateOptions, PackagedModel } from "./model.js";
import { receivedError, type Reply, type Request } from "./worker-messages.js";
import { unreadable, type WorkerFault, type WorkerPort } from "./worker-port.js";

const SCRIPT = "worker-thread.js";

/** `start`: starts the script in a page; `base`: the address beside which it is, for Node. */
export const workerModel = (name: string, start: () => Worker, base: string): PackagedModel => ({
  name,
  async load({ signal, onProgress, ...options } = {}) {
    signal?.throwIfAborted();
    if (options.device)
      throw new UnsupportedError(
        "a device cannot be given to a worker",
        "leave out `device`: the worker opens its own",
      );
    const worker = new RemoteModel(inNode() ? await startThread(base) : pagePort(start()), onProgress ?? (() => {}));
    try {
      return await worker.load(options, signal);
    } catch (error) {
      worker.dispose();
      throw error;
    }
  },
});

const startThread = async (base: string): Promise<WorkerPort> =>
  (await import("./worker-node.js")).startThread(new URL(SCRIPT, base));

const pagePort = (worker: Worker): WorkerPort => ({
  post: (message, transfer) => worker.postMessage(message, transfer),
  listen(onMessage, onFault) {
    // the worker's end sends nothing else
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => onMessage(data));
    worker.addEventListener("messageerror", () => onFault({ cause: unreadable() }));
    // an error without a message is that of a script
    worker.addEventListener("error", ({ message }) =>
      onFault({ cause: new Error(message || "its script cannot be loaded"), unloaded: !message }),
    );
  },
  end: () => worker.terminate(),
});

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

class RemoteModel implements LoadedModel {
  device = "";
  readonly lost: Promise<DeviceLostError>;
  readonly #port: WorkerPort;
  readonly #waiting = new Map<number, Waiting>();
  #ids = 0;
  #disposed = false;
  #loaded = false;
  /** Why the worker has ended by itself. */
  #fault: Error | null = null;

  constructor(port: WorkerPort, onProgress: (progress: LoadProgress) => void) {
    this.#port = port;
    let lose: (error: DeviceLostError) => void;
    this.lost = new Promise((resolve) => (lose = resolve));
    const fault = ({ cause, unloaded = false }: WorkerFault): void => {
      if (this.#fault) return; // the end of a thread comes after its error
      const message = `the worker has ended: ${cause.message}`;
      const lost = new DeviceLostError(this.#disposed ? "destroyed" : "unknown", message, { cause });
      this.#fault = this.#loaded
        ? lost
        : new PackageError(unloaded ? "download-failed" : "worker-ended", SCRIPT, message, { cause });
      lose(lost);
      this.#rejectAll(this.#disposed ? new DisposedError() : this.#fault);
    };
    port.listen((reply) => {
      if (reply.kind === "progress") return onProgress(reply.progress);
      if (reply.kind === "lost") return lose(receivedError(reply.error) as DeviceLostError); // as the worker sends it
      if (reply.kind === "ended") {
        this.#rejectAll(new DisposedError());
        return port.end();
      }
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.kind === "failed") waiting?.reject(receivedError(reply.error));
      else waiting?.resolve(reply);
    }, fault);
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  /** Sends a request; its answer, or the reason of `signal`. */
  async #ask<K extends Reply["kind"]>(
    request: Exclude<Request, { kind: "dispose" }>,
    kind: K,
    signal: AbortSignal | undefined,
  ): Promise<Extract<Reply, { kind: K }>> {
    const { id } = request;
    signal?.throwIfAborted();
    if (this.#disposed) throw new DisposedError();
    if (this.#fault) throw this.#fault;
    const abort = (): void => this.#port.post({ kind: "abort", id }, []);
    signal?.addEventListener("abort", abort);
    try {
      const reply = await new Promise<Reply>((resolve, reject) => {
        this.#port.post(request, []); // throws for what cannot be copied
        this.#waiting.set(id, { resolve, reject });
      });
      if (reply.kind !== kind) throw new Error(`the worker answers ${reply.kind}, not ${kind}`);
      return reply as Extract<Reply, { kind: K }>; // by the line above
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#disposed ? new DisposedError() : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async load(options: LoadModelOptions, signal: AbortSignal | undefined): Promise<this> {
    this.device = (await this.#ask({ kind: "load", id: ++this.#ids, options }, "loaded", signal)).device;
    this.#loaded = true;
    return this;
  }

  async run(inputs: Inputs, { signal, ...options }: RunOptions = {}): Promise<Results> {
    const { values } = await this.#ask({ kind: "run", id: ++this.#ids, inputs, options }, "results", signal);
    return Object.fromEntries(
      Object.entries(values).map(([name, { dtype, shape, data }]) => [name, resultOf(dtype, shape, data)]),
    );
  }

  async *generate(
    prompt: Prompts,
    { signal, ...options }: ModelGenerateOptions = {},
  ): AsyncGenerator<GeneratedText, Summary> {
    if (options.next !== undefined)
      throw new InputError(
        "next",
        "`next` is a function, which cannot be sent to a worker",
        "give values for the tokens to come in `inputs`, or load the model of index.js, which is not in a worker",
      );
    const id = ++this.#ids;
    try {
      let { next } = await this.#ask({ kind: "next", id, begin: { prompt, options } }, "token", signal);
      while (!next.done) {
        yield next.value;
        ({ next } = await this.#ask({ kind: "next", id }, "token", signal));
      }
      return next.value;
    } finally {
      if (!this.#disposed) this.#port.post({ kind: "return", id }, []);
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#port.post({ kind: "dispose" }, []); // it may live on after a message that could not be read
    if (this.#fault) this.#port.end();
  }
}
