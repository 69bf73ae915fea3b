// The source of a program, with parameters and phase.
import type { Phase } from "../../src/language/check/model/model.js";

export interface Source {
  readonly text: string;
  /** The model's parameters, as expressions in modc's language. */
  readonly set: Readonly<Record<string, string>>;
  readonly phase: Phase;
}
