// Runs the texts of a request: submits them all before the reply begins, and gives their pieces as they come.
import { QueueFullError } from "../../../generation/engine/index.js";
import { InputError } from "../../../runtime/index.js";
import type { Call } from "./call.js";
import { Choice, type Piece, type PromptPiece } from "./choice.js";
import { hinted, invalid, queueFull } from "./errors.js";
import { merged } from "../../../ground/base/merged.js";
import type { Served } from "./options.js";
import type { Planned, Plans } from "./plan.js";
import { fewer } from "./room.js";

export interface GenerationRun {
  readonly choices: readonly Choice[];
  /** In the order in which they come. Ends with all texts; leaving the loop cancels those that are left. */
  pieces(): AsyncGenerator<Piece | PromptPiece, void>;
}

/** Throws what the engine throws; then nothing is under way, and the place of the texts is free. */
export function startGeneration({ engine, tokenizer }: Served, call: Call, { texts, place }: Plans): GenerationRun {
  const choices: Choice[] = [];
  try {
    call.signal.throwIfAborted();
    for (const plan of texts) choices.push(new Choice(engine, tokenizer, plan));
  } catch (fault) {
    for (const choice of choices) choice.cancel();
    place.release();
    throw refusal(fault, texts, choices.length);
  }
  place.submitted();
  // One listener for all: Node takes more than ten on a signal for a leak.
  const abort = (): void => {
    place.release(); // also of a stream that nobody began to read
    for (const choice of choices) choice.abort(call.signal.reason);
  };
  call.signal.addEventListener("abort", abort);
  return {
    choices,
    async *pieces() {
      try {
        for await (const piece of merged(choices.map((choice) => choice.pieces()))) {
          if (piece.kind === "prompt" ? piece.last : piece.finish !== null) place.ended();
          yield piece;
        }
      } finally {
        place.release();
        call.signal.removeEventListener("abort", abort);
        for (const choice of choices) {
          choice.cancel();
          call.add(choice.use);
        }
      }
    },
  };
}

/** A fault of the engine over one of the texts, after so many that it took, in the words of the request. */
function refusal(fault: unknown, texts: readonly Planned[], taken: number): unknown {
  const [first] = texts;
  if (fault instanceof InputError && first) {
    // The engine knows prompts alone, and of its memory a client need not know more.
    if (fault.input === "prompt") return invalid(fault.message, first.field);
    if (fault.input === "promptLogprobs")
      return invalid("with --loop-caches last the server has no log-probabilities of prompts", "logprobs");
    if (fault.input !== null && Object.hasOwn(first.request.live ?? {}, fault.input))
      return invalid(hinted(fault), `modc.live.${fault.input}`);
  }
  // The request's own texts do not count as waiting.
  return fault instanceof QueueFullError && taken > 0 ? queueFull(fault, fewer(texts.length, taken)) : fault;
}
