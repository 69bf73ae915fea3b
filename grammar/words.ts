// The keywords of the language as plain text, for syntax highlighting without a lexer.

/** Words that are reserved everywhere. Not those of `HEADING`. */
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

/** Words that are keywords only before a name, at the head of a member or of a statement; elsewhere they are names. */
export const HEADING = { member: ["weight", "state"], statement: ["update"] } as const;
export type Heading = (typeof HEADING)[keyof typeof HEADING][number];

/** Names with a fixed meaning where the grammar expects a type or a kind; elsewhere they are ordinary names. */
export { DTYPES } from "../src/ground/base/dtype.js";
export const PARAM_KINDS = ["int", "float", "ratio", "bool", "string", "block"] as const;

/** Reserved words by role: constants, operators, and declarations. The rest are control words. */
export const CONSTANTS: readonly Reserved[] = ["true", "false", "None"];
export const WORD_OPERATORS: readonly Reserved[] = ["and", "or", "not"];
export const DECLARING: readonly Reserved[] = ["import", "from", "const", "block", "model", "live", "names", "ignore"];
