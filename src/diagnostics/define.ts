// How an entry of the catalogue is written: one code, the data it needs, its message, hint and explanation.

/** A note is for those who ask, as `modc check` does: nothing is wrong. */
export type Severity = "error" | "warning" | "note";

/** Messages and hints: one sentence, lower case, no full stop; the message says what was found. */
export interface CodeDef<Data> {
  readonly severity: Severity;
  readonly message: (data: Data) => string;
  /** How to mend it; null where nothing fits. */
  readonly hint: (data: Data) => string | null;
  /**
   * For `modc explain <code>`: what the rule is and why, with a small example; plain text, lines under 100 characters.
   */
  readonly explain: string;
}

export const code = <Data>(def: CodeDef<Data>): CodeDef<Data> => def;
