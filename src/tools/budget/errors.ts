// Errors of planning: a budget that pays for nothing, memory that fits nothing, a question that has no answer.
import { ModcError } from "../../ground/base/errors.js";

export class BudgetError extends ModcError<"budget"> {
  override readonly name = "BudgetError";

  constructor(message: string, hint: string | null = null) {
    super("budget", message, { hint });
  }
}
