// The error for a schema, a pattern or a grammar that modc cannot hold a text to.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

export class ConstraintError extends ModcError<"bad-constraint"> {
  override readonly name = "ConstraintError";

  constructor(message: string, options: FaultOptions = {}) {
    super("bad-constraint", message, options);
  }
}
