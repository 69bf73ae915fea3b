// Errors of running and training, for display.
import { ModcError } from "../../../src/ground/base/errors.js";

/** The model does not support the requested action; `hint` says what to do. */
export class ModelError extends ModcError<"model"> {
  override readonly name = "ModelError";

  constructor(message: string, hint: string | null = null) {
    super("model", message, { hint });
  }
}
