// The page's side of the protocol: calls into a worker as promises.
import { ModcError } from "../../../src/ground/base/errors.js";
import type { Failure, Reply, Request } from "./protocol.js";

/** A call that failed in a worker; it has the name of the worker's error. */
export class RemoteError extends ModcError<"remote"> {
  constructor({ name, message, hint }: Failure) {
    super("remote", message, { hint });
    this.name = name;
  }
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: ((event: unknown) => void) | undefined;
}

export interface CallOptions<E> {
  readonly onEvent?: (event: E) => void;
  readonly signal?: AbortSignal;
}

export class Remote<
  C extends { readonly [K in keyof C]: { readonly ask: unknown; readonly event: unknown; readonly answer: unknown } },
> {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.#hear(data));
    worker.addEventListener("error", (event) => this.#fail(event.message || "a part of the playground did not load"));
  }

  call<K extends keyof C & string>(
    name: K,
    ask: C[K]["ask"],
    { onEvent, signal }: CallOptions<C[K]["event"]> = {},
  ): Promise<C[K]["answer"]> {
    const id = ++this.#last;
    const cancel = (): void => this.#send({ kind: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    const answer = new Promise<C[K]["answer"]>((resolve, reject) => {
      // Marked boundary: the worker answers according to the same table.
      this.#waiting.set(id, { resolve, reject, onEvent });
    });
    this.#send({ kind: "call", id, name, ask });
    return answer.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #send(request: Request): void {
    this.#worker.postMessage(request);
  }

  #hear(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if (reply.kind === "event") return waiting.onEvent?.(reply.event);
    this.#waiting.delete(reply.id);
    if (reply.kind === "answer") waiting.resolve(reply.answer);
    else waiting.reject(new RemoteError(reply.failure));
  }

  #fail(message: string): void {
    for (const { reject } of this.#waiting.values())
      reject(new RemoteError({ name: "Error", message, hint: "load the page again" }));
    this.#waiting.clear();
  }
}
