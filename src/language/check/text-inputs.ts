// Finds the inputs of an objective that a text fills.
import type { Model } from "./model.js";

/** Names of the objective's inputs that a text fills: the tokens, and the next token of each. */
export interface TextInputs {
  readonly tokens: string;
  /** Null where the objective has no targets. */
  readonly targets: string | null;
  /** Whether a target may be -1 (no target): then the last token of a document has none. */
  readonly signed: boolean;
}

/**
 * An integer input with a value for each token, and optionally one named `targets`; null where the objective has any
 * other input.
 */
export function textInputsOf(model: Pick<Model, "inputs">): TextInputs | null {
  const whole = model.inputs.filter(
    ({ type }) => (type.dtype === "u32" || type.dtype === "i32") && type.shape.length === 2,
  );
  const targets = whole.find((i) => i.name === "targets") ?? null;
  const [tokens, another] = whole.filter((i) => i !== targets);
  if (!tokens || another || model.inputs.length !== whole.length) return null;
  return { tokens: tokens.name, targets: targets?.name ?? null, signed: targets?.type.dtype === "i32" };
}
