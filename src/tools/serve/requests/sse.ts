// Replies that come in pieces: server-sent events, as OpenAI's wire has them.
import type { Call } from "./call.js";
import { gone, type RequestError } from "./errors.js";

/**
 * A reply whose events are the objects of `chunks`, one `data:` line each, and `[DONE]`. An error on the way is the
 * last event, `data: {"error":…}`. When nobody reads on, the call is aborted.
 */
export const eventStream = (call: Call, chunks: AsyncGenerator<object, void>): Response =>
  streamed(call, chunks, PLAIN);

/**
 * The same as /v1/responses has them: with the type of each object as the event's name, its number, and no `[DONE]`.
 * An error on the way is an event `error`, and then what `failed` makes of it.
 */
export const typedEventStream = (
  call: Call,
  chunks: AsyncGenerator<TypedEvent, void>,
  failed: (error: RequestError) => TypedEvent,
): Response => streamed(call, chunks, typed(failed));

interface TypedEvent {
  readonly type: string;
}

/** How an object, an error and the end are written. */
interface Form<T> {
  readonly line: (chunk: T) => string;
  readonly error: (error: RequestError) => string;
  readonly end: string;
}

const PLAIN: Form<object> = {
  line: (chunk) => `data: ${JSON.stringify(chunk)}\n\n`,
  error: ({ body }) => `data: ${JSON.stringify(body)}\n\n`,
  end: "data: [DONE]\n\n",
};

function typed(failed: (error: RequestError) => TypedEvent): Form<TypedEvent> {
  let n = 0;
  const line = (event: TypedEvent): string =>
    `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: n++ })}\n\n`;
  // Clients find the message in one place or the other.
  const error = ({ message, param, wireCode: code, body }: RequestError) =>
    ({ type: "error", code, message, param, ...body }) as const;
  return { line, error: (fault) => line(error(fault)) + line(failed(fault)), end: "" };
}

function streamed<T>(call: Call, chunks: AsyncGenerator<T, void>, form: Form<T>): Response {
  call.streams = true;
  const source = new EventSource(call, linesOf(call, chunks, form), () => form.error(call.failed(null)));
  return new Response(new ReadableStream(source, { highWaterMark: 1 }), {
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
  /** The event of the error that ended the call. */
  readonly #cutOff: () => string;
  readonly #lines: AsyncGenerator<string, void>;
  readonly #encoder = new TextEncoder();
  #aborted = (): void => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(call: Call, lines: AsyncGenerator<string, void>, cutOff: () => string) {
    this.#call = call;
    this.#cutOff = cutOff;
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
    controller.enqueue(this.#encoder.encode(this.#cutOff()));
    controller.close();
    void this.#lines.return();
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#call.signal.removeEventListener("abort", this.#aborted);
  }
}

async function* linesOf<T>(call: Call, chunks: AsyncGenerator<T, void>, form: Form<T>): AsyncGenerator<string, void> {
  try {
    for await (const chunk of chunks) yield form.line(chunk);
    if (form.end !== "") yield form.end;
  } catch (fault) {
    yield form.error(call.failed(fault));
  } finally {
    if (call.signal.aborted) call.failed(call.signal.reason);
    call.end();
  }
}
