// Runs the texts of a request: submits them all before the reply begins, and gives their pieces as they come.
import { QueueFullError } from "../engine/index.js";
import { InputError } from "../runtime/index.js";
import type { Call } from "./call.js";
import { Choice, type Piece, type PromptPiece } from "./choice.js";
import { hinted, invalid, queueFull } from "./errors.js";
import { merged } from "./merged.js";
import type { Served } from "./options.js";
import type { Planned } from "./plan.js";

export interface GenerationRun {
  readonly choices: readonly Choice[];
  /** In the order in which they come. Ends with all texts; leaving the loop cancels those that are left. */
  pieces(): AsyncGenerator<Piece | PromptPiece, void>;
}

/** Throws what the engine throws; then nothing is under way. */
export function startGeneration({ engine, tokenizer }: Served, call: Call, plans: readonly Planned[]): GenerationRun {
  const choices: Choice[] = [];
  call.signal.throwIfAborted();
  try {
    for (const plan of plans) choices.push(new Choice(engine, tokenizer, plan));
  } catch (fault) {
    for (const choice of choices) choice.cancel();
    // The engine knows prompts alone, and of its memory a client need not know more.
    if (fault instanceof InputError && fault.input === "prompt") throw invalid(fault.message, plans[0]!.field);
    if (fault instanceof InputError && fault.input !== null && Object.hasOwn(plans[0]!.request.live ?? {}, fault.input))
      throw invalid(hinted(fault), `modc.live.${fault.input}`);
    // Its own texts are not among those that wait.
    if (!(fault instanceof QueueFullError) || choices.length === 0) throw fault;
    throw queueFull(fault, `the request asks for ${plans.length} texts, and there is room for ${choices.length} now`);
  }
  // One listener for all: Node takes more than ten on a signal for a leak.
  const abort = (): void => {
    for (const choice of choices) choice.abort(call.signal.reason);
  };
  call.signal.addEventListener("abort", abort);
  return {
    choices,
    async *pieces() {
      try {
        yield* merged(choices.map((choice) => choice.pieces()));
      } finally {
        call.signal.removeEventListener("abort", abort);
        for (const choice of choices) {
          choice.cancel();
          call.add(choice.use);
        }
      }
    },
  };
}
