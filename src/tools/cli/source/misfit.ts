// The error for weights that do not fit a model; its hint names the parameter that explains it, if there is one.
import type { OpenedModel } from "../../../models/open.js";
import { explainWeights, explanation } from "../../../models/opened/explain-weights.js";
import type { WeightsError } from "../../../runtime/device/errors.js";
import { EXIT, UserError } from "../terminal/exit.js";
import type { ModelFlags } from "../tree/options.js";

/** The error with a hint; unchanged where no parameter explains it. */
export function explained(
  fault: WeightsError,
  { source, read }: OpenedModel,
  { set = {}, model }: Pick<ModelFlags, "set" | "model">,
): Error {
  const found = fault.tensors && explainWeights({ source, read, model, set }, fault.tensors);
  if (!found) return fault;
  const { text, set: words } = explanation(found);
  return new UserError(fault.message, `${text}: ${words}`, EXIT.user, fault.code);
}
