// Training with `contrast`, whose loss compares the sequences of a step with each other.
import type { Model } from "../../language/check/model/model.js";
import { reachable } from "../../language/check/model/model-values.js";
import { TrainError } from "./errors.js";

/** Whether a loss compares the sequences of a step with each other. */
export const hasContrast = ({ losses }: Pick<Model, "losses">): boolean =>
  reachable(losses.map(({ value }) => value)).some(({ op }) => op === "contrast");

/** Options that decide which sequences a loss compares. */
export interface Compared {
  /** Micro-batches of a step. */
  readonly accumulate: number;
  /** Sequences of a micro-batch; absent: not known yet. */
  readonly batch?: number;
  /** Whether a sequence may hold several records. */
  readonly pack?: boolean | undefined;
}

/** Throws TrainError if a step's sequences are not compared with each other, each a record. */
export function expectComparable({ accumulate, batch, pack }: Compared): void {
  const refuse = (option: string, why: string, hint: string): never => {
    throw new TrainError("bad-option", `${option}, but the loss has \`contrast\`: ${why}`, { hint });
  };
  if (accumulate > 1)
    refuse(
      `accumulate is ${accumulate}`,
      "it compares all sequences of a step, and losses of its parts do not add up to that",
      "set --accumulate 1 and a larger --batch",
    );
  if (batch === 1) refuse("batch is 1", "it compares the sequences of a step", "set a larger --batch");
  if (pack === true) refuse("records are packed", "it compares records, each in a row of its own", "leave out --pack");
}
