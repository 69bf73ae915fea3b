// Replies that are JSON too long to be written at once: in parts, between which others have their turn.
import type { Call } from "./call.js";
import { gone } from "./errors.js";
import { turn } from "./turn.js";

/** A reply of `head` with the list `choices`, each of which is made as it is written, and `tail`. */
export function longReply(call: Call, head: object, choices: readonly (() => object)[], tail: object): Response {
  call.streams = true;
  const encoder = new TextEncoder();
  let left = (): void => {};
  const end = (): void => {
    call.signal.removeEventListener("abort", left);
    call.end();
  };
  let index = 0;
  const next = (): string => {
    const before = index === 0 ? `${JSON.stringify(head).slice(0, -1)},"choices":[` : ",";
    const choice = JSON.stringify(choices[index]!());
    return before + choice + (++index === choices.length ? `],${JSON.stringify(tail).slice(1)}` : "");
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      left = () => {
        controller.error(call.failed(call.signal.reason));
        end();
      };
      call.signal.addEventListener("abort", left);
    },
    async pull(controller) {
      await turn();
      if (call.signal.aborted) return left();
      try {
        controller.enqueue(encoder.encode(next()));
      } catch (fault) {
        controller.error(call.failed(fault));
        return end();
      }
      if (index < choices.length) return;
      end();
      controller.close();
    },
    cancel: () => call.abort(gone()),
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}
