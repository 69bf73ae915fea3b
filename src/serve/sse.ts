// Replies that come in pieces: server-sent events, as OpenAI's wire has them.
import type { Call } from "./call.js";
import { gone } from "./errors.js";

/**
 * A reply whose events are the objects of `chunks`, one `data:` line each, and `[DONE]`. An error on the way is the
 * last event, `data: {"error":…}`. When nobody reads on, the call is aborted.
 */
export function eventStream(call: Call, chunks: AsyncGenerator<object, void>): Response {
  const encoder = new TextEncoder();
  const lines = linesOf(call, chunks);
  call.streams = true;
  let stalled = (): void => {};
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // A client that does not read keeps its connection no longer than a request may take.
        stalled = () => void setTimeout(() => closeIfOpen(controller), STALLED_MS);
        call.signal.addEventListener("abort", stalled);
      },
      async pull(controller) {
        const { done, value } = await lines.next();
        if (!done) return controller.enqueue(encoder.encode(value));
        call.signal.removeEventListener("abort", stalled);
        controller.close();
      },
      async cancel() {
        call.signal.removeEventListener("abort", stalled);
        call.abort(gone());
        await lines.return();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    },
  });
}

/** How long a client may take to read the event that tells it of the end. */
const STALLED_MS = 5000;

function closeIfOpen(controller: ReadableStreamDefaultController): void {
  try {
    controller.error(new Error("the client does not read its stream"));
  } catch {
    // It was closed in the meantime.
  }
}

async function* linesOf(call: Call, chunks: AsyncGenerator<object, void>): AsyncGenerator<string, void> {
  try {
    for await (const chunk of chunks) yield `data: ${JSON.stringify(chunk)}\n\n`;
    yield "data: [DONE]\n\n";
  } catch (fault) {
    yield `data: ${JSON.stringify(call.failed(fault).body)}\n\n`;
  } finally {
    if (call.signal.aborted) call.failed(call.signal.reason);
    call.end();
  }
}
