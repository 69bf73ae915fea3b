// The report of `modc routes`, from which its tables and its page are printed.
import type { Rule } from "../../train/types.js";
import type { LayerAgreement } from "../train/agreement.js";
import type { RouteDifference } from "./difference.js";
import type { EntropyAtDepth } from "./entropy.js";
import type { RoutesFound } from "./statistics.js";

/** What is told of a model and a text. */
export interface RoutesReport extends RoutesFound {
  readonly model: string;
  readonly rule: Rule;
  readonly loss: number;
  /** How far both rules agree; empty where one was looked at. */
  readonly agreement: readonly LayerAgreement[];
  /** Empty where the forward pass gives no logits. */
  readonly entropies: readonly EntropyAtDepth[];
  /** The other checkpoint, and what it chooses otherwise; null where none was given. */
  readonly against: {
    readonly weights: string;
    readonly loss: number;
    readonly routes: readonly RouteDifference[];
  } | null;
  /** The text of a token. */
  readonly textOf: (token: number) => string;
}
