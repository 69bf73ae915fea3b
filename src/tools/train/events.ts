// The events of a training run, and the result collected from them.
import type { TrainingData } from "./data.js";
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

/** `stopped early`: the last validations were not better than the best, as many as the setting `patience` allows. */
export type EndReason = "finished" | "stopped early" | "interrupted";

export type TrainEvent =
  | {
      readonly kind: "begin";
      /** Number of steps done before the run. */
      readonly step: number;
      readonly steps: number;
      /** The size of both parts, in tokens of a text or in records. */
      readonly data: TrainingData["counts"];
      /** Bytes of text for each target; null if the loss is not of a text. */
      readonly bytesPerToken: number | null;
      /** Path of the encoded data. */
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
      /** Number of epochs read so far, with the read share of the epoch under way. */
      readonly epoch: number;
      /** The objective's own losses alone, in bits a byte of text; null if they are not of a text. */
      readonly bitsPerByte: number | null;
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
      readonly bitsPerByte: number | null;
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
  /** A prompt continued by the causal rule with the weights of this step. */
  | { readonly kind: "sample"; readonly step: number; readonly prompt: string; readonly text: string }
  /** The loads of experts over the last steps, every hundred steps and at the end. */
  | ({ readonly kind: "experts"; readonly step: number } & LoadWindow)
  | { readonly kind: "warning"; readonly step: number; readonly message: string }
  | {
      readonly kind: "end";
      readonly step: number;
      readonly reason: EndReason;
      readonly checkpoint: string | null;
      /** Path of the report page; null: it could not be written, or there is nothing to show. */
      readonly report: string | null;
    };

type Of<K extends TrainEvent["kind"]> = Extract<TrainEvent, { kind: K }>;

/** A validation of the run, losses in nats. */
export interface Validated {
  readonly step: number;
  /** Loss under the rule that decides which checkpoint is the best. */
  readonly loss: number;
  readonly bitsPerByte: number | null;
  /** Values of live parameters during the validation. */
  readonly live: Readonly<Record<string, number>>;
  /** `shares`: for each routed layer, the share of tokens it computed. */
  readonly byRule: {
    readonly [R in Rule]?: { readonly loss: number; readonly shares: Readonly<Record<string, number>> };
  };
}

export interface TrainResult {
  /** The folder of the run. */
  readonly output: string;
  readonly reason: EndReason;
  /** Number of steps done, and in total. */
  readonly step: number;
  readonly steps: number;
  /** Folders of the last and best checkpoints, usable as `weights`; null: there is none. */
  readonly checkpoint: string | null;
  readonly best: (Validated & { readonly checkpoint: string }) | null;
  /** The best checkpoint in the run's folder, which may be from before a resumed run; null: there is none. */
  readonly bestSoFar: string | null;
  /** Path of the report page; null: there is none. */
  readonly report: string | null;
  /** Loss of the last step; null: no step was done. */
  readonly loss: number | null;
  readonly bitsPerByte: number | null;
  /** The last validation; null: there was none. */
  readonly validation: Validated | null;
  readonly warnings: readonly string[];
}

/** Collects the events of a run. */
export class Outcome {
  #begin: Of<"begin"> | null = null;
  #step: Of<"step"> | null = null;
  #validation: Of<"validation"> | null = null;
  #best: (Validated & { readonly checkpoint: string }) | null = null;
  #end: Of<"end"> | null = null;
  readonly #warnings: string[] = [];

  add(event: TrainEvent): void {
    switch (event.kind) {
      case "begin":
        this.#begin = event;
        break;
      case "step":
        this.#step = event;
        break;
      case "validation":
        this.#validation = event;
        break;
      case "checkpoint":
        if (event.best && this.#validation) this.#best = { ...validatedBy(this.#validation), checkpoint: event.path };
        break;
      case "experts":
      case "sample":
        break;
      case "warning":
        this.#warnings.push(event.message);
        break;
      case "end":
        this.#end = event;
        break;
      default:
        event satisfies never;
    }
  }

  /**
   * The result. `best` is the best checkpoint of this run: null if a resumed run had no better validation than before.
   */
  result(output: string): TrainResult {
    return {
      output,
      reason: this.#end?.reason ?? "interrupted",
      step: this.#end?.step ?? 0,
      steps: this.#begin?.steps ?? 0,
      checkpoint: this.#end?.checkpoint ?? null,
      best: this.#best,
      bestSoFar: this.#best?.checkpoint ?? this.#begin?.best ?? null,
      report: this.#end?.report ?? null,
      loss: this.#step?.metrics.loss ?? null,
      bitsPerByte: this.#step?.bitsPerByte ?? null,
      validation: this.#validation && validatedBy(this.#validation),
      warnings: this.#warnings,
    };
  }
}

function validatedBy({ step, loss, bitsPerByte, live, byRule }: Of<"validation">): Validated {
  const rules = Object.entries(byRule).map(([rule, { loss: own, shares }]) => [rule, { loss: own, shares }]);
  // the rules that were evaluated
  return { step, loss, bitsPerByte, live, byRule: Object.fromEntries(rules) as Validated["byRule"] };
}
