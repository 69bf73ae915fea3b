// Replies that come in pieces: server-sent events, as OpenAI's wire has them.
import type { Call } from "./call.js";
import { gone } from "./errors.js";

/**
 * A reply whose events are the objects of `chunks`, one `data:` line each, and `[DONE]`. An error on the way is the
 * last event, `data: {"error":…}`. When nobody reads on, the call is aborted.
 */
export function eventStream(call: Call, chunks: AsyncGenerator<object, void>): Response {
  call.streams = true;
  return new Response(new ReadableStream(new EventSource(call, linesOf(call, chunks)), { highWaterMark: 1 }), {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    },
  });
}

/** How long a client may take, once a call was aborted, to read the event that says so. */
const STALLED_MS = 2000;

/** Gives lines as they are asked for, and stops waiting for a client that asks no more when its time is up. */
class EventSource implements UnderlyingDefaultSource<Uint8Array> {
  readonly #call: Call;
  readonly #lines: AsyncGenerator<string, void>;
  readonly #encoder = new TextEncoder();
  #aborted = (): void => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(call: Call, lines: AsyncGenerator<string, void>) {
    this.#call = call;
    this.#lines = lines;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#aborted = () => (this.#timer = setTimeout(() => this.#giveUp(controller), STALLED_MS));
    this.#call.signal.addEventListener("abort", this.#aborted);
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { done, value } = await this.#lines.next();
    if (this.#closed) return;
    if (!done) return controller.enqueue(this.#encoder.encode(value));
    this.#close();
    controller.close();
  }

  async cancel(): Promise<void> {
    this.#close();
    this.#call.abort(gone());
    await this.#lines.return();
  }

  /** Whoever reads on after all finds the error that ended the stream; the socket has a limit of its own. */
  #giveUp(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (this.#closed) return;
    this.#close();
    controller.enqueue(this.#encoder.encode(errorLine(this.#call, null)));
    controller.close();
    void this.#lines.return();
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#call.signal.removeEventListener("abort", this.#aborted);
  }
}

const errorLine = (call: Call, fault: unknown): string => `data: ${JSON.stringify(call.failed(fault).body)}\n\n`;

async function* linesOf(call: Call, chunks: AsyncGenerator<object, void>): AsyncGenerator<string, void> {
  try {
    for await (const chunk of chunks) yield `data: ${JSON.stringify(chunk)}\n\n`;
    yield "data: [DONE]\n\n";
  } catch (fault) {
    yield errorLine(call, fault);
  } finally {
    if (call.signal.aborted) call.failed(call.signal.reason);
    call.end();
  }
}
