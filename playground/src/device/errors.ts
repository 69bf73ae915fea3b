// Why a model cannot do what was asked, for people.
import { ModcError } from "../../../src/base/errors.js";

/** A wish that the model does not fit; `hint` says how it would. */
export class ModelError extends ModcError<"model"> {
  override readonly name = "ModelError";

  constructor(message: string, hint: string | null = null) {
    super("model", message, { hint });
  }
}
