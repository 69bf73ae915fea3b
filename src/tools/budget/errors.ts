// Planning errors: a budget too small for one step, too little memory, or a question without an answer.
import { ModcError } from "../../ground/base/errors.js";

export class BudgetError extends ModcError<"budget"> {
  override readonly name = "BudgetError";

  constructor(message: string, hint: string | null = null) {
    super("budget", message, { hint });
  }
}
