// The stream of one request: events are held until they are read.
import type { EngineEvent, EngineStream, RequestUse } from "./types.js";

export class EventStream implements EngineStream {
  readonly #held: EngineEvent[] = [];
  readonly #use: () => RequestUse;
  readonly #stop: () => void;
  #wake: (() => void) | null = null;
  #over: { readonly error: unknown } | "ended" | null = null;

  /** `stop`: called when the reader leaves before the end. */
  constructor(use: () => RequestUse, stop: () => void) {
    this.#use = use;
    this.#stop = stop;
  }

  get use(): RequestUse {
    return this.#use();
  }

  push(event: EngineEvent): void {
    if (this.#over !== null) return;
    this.#held.push(event);
    this.#wake?.();
  }

  /** Ends the stream behind the events that are held. */
  end(): void {
    this.#over ??= "ended";
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#over ??= { error };
    this.#wake?.();
  }

  cancel(): void {
    this.#stop();
  }

  [Symbol.asyncIterator](): AsyncGenerator<EngineEvent, void> {
    const events = this.#events();
    const leave = events.return.bind(events);
    // One that is left before its first event has run nothing that would notice.
    events.return = (value) => {
      if (this.#over === null) this.#stop();
      return leave(value);
    };
    return events;
  }

  async *#events(): AsyncGenerator<EngineEvent, void> {
    try {
      for (;;) {
        const next = this.#held.shift();
        if (next) yield next;
        else if (this.#over === "ended") return;
        else if (this.#over) throw this.#over.error;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = null;
      }
    } finally {
      if (this.#over === null) this.#stop();
    }
  }
}
