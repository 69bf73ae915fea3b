// A request from its arrival to the end of its reply: the request's id, the signal that ends it, and its log entry.
import { callListener } from "../../../ground/base/listener.js";
import type { RequestUse } from "../../../generation/engine/index.js";
import { gone, RequestError, timedOut, wireError } from "./errors.js";
import type { RequestEntry, Served } from "./options.js";

type Use = Pick<RequestUse, "promptTokens" | "cachedTokens" | "generatedTokens">;

export class Call {
  readonly id: string;
  readonly request: Request;
  readonly path: string;
  route = "other";
  /** Aborted when the client goes away, when the request takes too long, or by `abort`. */
  readonly signal: AbortSignal;
  /** Whether the body of the reply goes on after the handler has returned: then it calls `end`. */
  streams = false;
  readonly #controller = new AbortController();
  readonly #served: Served;
  readonly #untimed: () => void;
  readonly #left: () => void;
  readonly #ended: () => void;
  readonly #began = performance.now();
  #done = false;
  #status = 200;
  #error: RequestError | null = null;
  #generates = false;
  #use = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0 };

  constructor(served: Served, request: Request, ended: () => void) {
    this.#served = served;
    this.request = request;
    // A socket's request may have a URL that is none.
    this.path = URL.canParse(request.url) ? new URL(request.url).pathname : "";
    this.id = idOf(request);
    this.signal = this.#controller.signal;
    this.#ended = ended;
    const { seconds } = served.limits;
    this.#untimed = after(seconds * 1000, () => this.abort(timedOut(seconds)));
    this.#left = () => this.abort(gone());
    request.signal.addEventListener("abort", this.#left);
    if (request.signal.aborted) this.#left();
  }

  abort(reason: RequestError): void {
    if (!this.#done) this.#controller.abort(reason);
  }

  /** What the promise gives; once the call is aborted its reason is thrown. */
  async before<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this;
    let aborted = (): void => {};
    const end = new Promise<never>((_, reject) => {
      aborted = () => reject(signal.reason as Error); // a RequestError
      if (signal.aborted) aborted();
      signal.addEventListener("abort", aborted);
    });
    try {
      return await Promise.race([promise, end]);
    } finally {
      signal.removeEventListener("abort", aborted);
    }
  }

  /** Notes what a text took. */
  add({ promptTokens, cachedTokens, generatedTokens }: Use): void {
    this.#generates = true;
    this.#use.promptTokens += promptTokens;
    this.#use.cachedTokens += cachedTokens;
    this.#use.generatedTokens += generatedTokens;
  }

  /** The error of the reply: that by which the request was aborted, whatever it led to, or else the fault's. */
  failed(fault: unknown): RequestError {
    const { reason } = this.signal as { readonly reason: unknown };
    this.#error = wireError(this.signal.aborted && reason instanceof RequestError ? reason : fault);
    return this.#error;
  }

  answered(status: number): void {
    this.#status = status;
  }

  /** The reply has been given, or nobody reads it any more. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#untimed();
    this.request.signal.removeEventListener("abort", this.#left);
    tellEnd(this.#served, {
      id: this.id,
      method: this.request.method,
      path: this.path,
      route: this.route,
      status: this.#status,
      milliseconds: performance.now() - this.#began,
      outcome: this.#outcome(),
      ...this.#use,
      error: this.#error,
    });
    this.#ended();
  }

  #outcome(): RequestEntry["outcome"] {
    if (!this.#generates) return null;
    if (this.#error === null) return "finished";
    return this.#error.wireCode === "timeout" ? "timeout" : this.#error.wireCode === "closed" ? "cancelled" : "failed";
  }
}

/** Counts and logs a request that has ended. */
export function tellEnd(served: Pick<Served, "metrics" | "log">, entry: RequestEntry): void {
  served.metrics.answered(entry);
  callListener(() => served.log(entry));
}

/** Of a request that reached no endpoint. */
export const NO_USE = {
  route: "other",
  milliseconds: 0,
  outcome: null,
  promptTokens: 0,
  cachedTokens: 0,
  generatedTokens: 0,
} as const;

export const newId = (): string => `req_${crypto.randomUUID().replaceAll("-", "")}`;

/** The id that a proxy gave, if it is one that may stand in a log; else a new one. */
function idOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && /^[\w.-]{1,100}$/.test(given) ? given : newId();
}

/** What a timer can wait for, 24.8 days: with more milliseconds it would end at once. */
const LONGEST = 2 ** 31 - 1;

/** Calls back after a time, and returns what stops that. A time that no timer can wait for is no limit. */
export function after(milliseconds: number, then: () => void): () => void {
  if (milliseconds > LONGEST) return () => {};
  const timer = setTimeout(then, milliseconds);
  return () => clearTimeout(timer);
}
