// Finds the inputs of an objective that can be filled from text.
import type { DType } from "../../../ground/base/dtype.js";
import type { Model } from "./model.js";

/** Names of the objective's inputs that text fills: the tokens, and the next token for each. */
export interface TextInputs {
  readonly tokens: string;
  /** Null if the objective has no targets. */
  readonly targets: string | null;
  /** Whether a target may be -1 (no target): then the last token of a document has none. */
  readonly signed: boolean;
}

/**
 * Finds an integer input with a value for each token, and optionally a second one named `targets`. Null if the
 * objective has any other input.
 */
export function textInputsOf(model: Pick<Model, "inputs">): TextInputs | null {
  const integerInputs = model.inputs.filter(
    ({ type }) => (type.dtype === "u32" || type.dtype === "i32") && type.shape.length === 2,
  );
  const targets = integerInputs.find((i) => i.name === "targets") ?? null;
  const [tokens, another] = integerInputs.filter((i) => i !== targets);
  if (!tokens || another || model.inputs.length !== integerInputs.length) return null;
  return { tokens: tokens.name, targets: targets?.name ?? null, signed: targets?.type.dtype === "i32" };
}

/** An input along the sequence that grows. */
interface AlongTokens {
  readonly name: string;
  readonly dtype: DType;
  readonly rank: number;
}

/** The name of the input of tokens, u32[B, T] or i32[B, T]: `tokens`, or else the first such; null if there is none. */
export function tokensAmong(inputs: readonly AlongTokens[]): string | null {
  const whole = inputs.filter(({ dtype, rank }) => (dtype === "u32" || dtype === "i32") && rank === 2);
  return (whole.find(({ name }) => name === "tokens") ?? whole[0])?.name ?? null;
}
