// The error for a model that cannot generate as requested.
import { ModcError } from "../../ground/base/errors.js";

/** Thrown for a graph that cannot be used for generation; the message states the reason. */
export class GenerationError extends ModcError<"generation"> {
  override readonly name = "GenerationError";

  constructor(message: string, hint: string | null = null) {
    super("generation", message, { hint });
  }
}
