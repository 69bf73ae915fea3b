// The words of the language as text alone: for what shows sources and needs no lexer.

/** Reserved everywhere. `weight` is not here: it is a keyword only where it heads a member. */
export const RESERVED = [
  "import",
  "from",
  "const",
  "block",
  "model",
  "live",
  "names",
  "ignore",
  "for",
  "in",
  "if",
  "then",
  "else",
  "and",
  "or",
  "not",
  "true",
  "false",
  "None",
  "loss",
  "observe",
] as const;

export type Reserved = (typeof RESERVED)[number];

/** Names with a fixed meaning where the grammar asks for a type or a kind; elsewhere they are names like any other. */
export { DTYPES } from "../src/base/dtype.js";
export const PARAM_KINDS = ["int", "float", "ratio", "bool", "string", "block"] as const;

/** Reserved words by what they do: values, operators, and what heads a declaration. The others control. */
export const CONSTANTS: readonly Reserved[] = ["true", "false", "None"];
export const WORD_OPERATORS: readonly Reserved[] = ["and", "or", "not"];
export const DECLARING: readonly Reserved[] = ["import", "from", "const", "block", "model", "live", "names", "ignore"];
