// The events of a training run.
import type { DataPosition } from "./windows.js";
import type { LoadWindow } from "./loads.js";
import type { Evaluation, Rule, StepMetrics } from "./types.js";

/**
 * A passage of the validation text, with a mask for each routed layer and rule: 1 for tokens that the layer computed.
 */
export interface Passage {
  readonly tokens: readonly number[];
  readonly routes: readonly { readonly rule: Rule; readonly path: string; readonly mask: readonly number[] }[];
}

export type TrainEvent =
  | {
      readonly kind: "begin";
      /** Number of steps done before the run. */
      readonly step: number;
      readonly steps: number;
      readonly tokens: { readonly training: number; readonly validation: number };
      readonly bytesPerToken: number;
      /** Path of the token file. */
      readonly cache: string;
      /** The checkpoint the run resumes from; null for a new run. */
      readonly from: string | null;
      /** The best checkpoint so far of a resumed run; null: there is none. */
      readonly best: string | null;
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
      /** The live parameters during the validation: the values of the next step. */
      readonly live: Readonly<Record<string, number>>;
      /** Whether the live parameters have their final values. Only such a validation can be the best. */
      readonly counts: boolean;
      /** Loss under the deciding rule: the causal rule if it was evaluated, otherwise top-k. */
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
  /** The loads of experts over the last steps, every hundred steps and at the end. */
  | ({ readonly kind: "experts"; readonly step: number } & LoadWindow)
  | { readonly kind: "warning"; readonly step: number; readonly message: string }
  | {
      readonly kind: "end";
      readonly step: number;
      readonly reason: "finished" | "interrupted";
      readonly checkpoint: string | null;
      /** Path of the report page; null: it could not be written, or there is nothing to show. */
      readonly report: string | null;
    };
