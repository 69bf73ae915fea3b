// What a run tells as it goes.
import type { DataPosition } from "./windows.js";
import type { Evaluation, Rule, StepMetrics } from "./types.js";

/**
 * A passage of the validation text and which of its tokens each routed layer computed under each rule: 1 for those it
 * did.
 */
export interface Passage {
  readonly tokens: readonly number[];
  readonly routes: readonly { readonly rule: Rule; readonly path: string; readonly mask: readonly number[] }[];
}

export type TrainEvent =
  | {
      readonly kind: "begin";
      /** Steps done already. */
      readonly step: number;
      readonly steps: number;
      readonly tokens: { readonly training: number; readonly validation: number };
      readonly bytesPerToken: number;
      /** File of the tokens. */
      readonly cache: string;
      /** The checkpoint the run goes on from; null: it begins. */
      readonly from: string | null;
    }
  | {
      readonly kind: "step";
      readonly step: number;
      readonly metrics: StepMetrics;
      /** The objective's own losses alone, in bits a byte of text. */
      readonly bitsPerByte: number;
      readonly learningRate: number;
      readonly live: Readonly<Record<string, number>>;
    }
  | {
      readonly kind: "validation";
      readonly step: number;
      readonly byRule: { readonly [R in Rule]?: Evaluation };
      /** Values of live parameters it was made with: those of the step that follows. */
      readonly live: Readonly<Record<string, number>>;
      /** Whether live parameters have the values they keep: before that it cannot be the best. */
      readonly counts: boolean;
      /** Of the rule that decides: the causal one where it was run. */
      readonly loss: number;
      readonly bitsPerByte: number;
      readonly best: boolean;
      readonly passage: Passage | null;
    }
  | {
      readonly kind: "checkpoint";
      readonly step: number;
      readonly path: string;
      readonly best: boolean;
      readonly position: DataPosition;
    }
  | { readonly kind: "warning"; readonly step: number; readonly message: string }
  | {
      readonly kind: "end";
      readonly step: number;
      readonly reason: "finished" | "interrupted";
      readonly checkpoint: string | null;
      /** The page with the run's curves; null: it could not be written, or nothing was done that it would show. */
      readonly report: string | null;
    };
