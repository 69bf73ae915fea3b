// The definition of a diagnostic: its code, the data it needs, its message, hint and explanation.

/** Severity of a diagnostic. `modc check` prints notes; they report no fault. */
export type Severity = "error" | "warning" | "note";

/** Messages and hints are one sentence, in lower case, without a full stop. The message names what was found. */
export interface CodeDef<Data> {
  readonly severity: Severity;
  readonly message: (data: Data) => string;
  /** How to fix the fault; null if no hint applies. */
  readonly hint: (data: Data) => string | null;
  /**
   * Text of `modc explain <code>`: the rule and its reason, with a small example; plain text, lines under 100
   * characters.
   */
  readonly explain: string;
}

export const code = <Data>(def: CodeDef<Data>): CodeDef<Data> => def;
