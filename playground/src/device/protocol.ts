// What the page can ask the device to do.
import type { Summary } from "../../../src/generate/index.js";
import type { Source } from "../source.js";

/** Where a model's weights come from: a file that fits it, what was trained here, or chance. */
export type WeightsChoice = "trained" | "here" | "random";

export interface RunAsk {
  readonly source: Omit<Source, "phase">;
  readonly prompt: string;
  readonly maxTokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly weights: WeightsChoice;
  /** Address of the trained weights that the playground comes with. */
  readonly file: string;
}

/** A layer of the heat map, and the route, all tokens first, that says which of them it computes. */
export interface Layer {
  readonly path: string;
  readonly axis: number;
  /** Whether a route decides, or every token is computed. */
  readonly routed: boolean;
}

export type RunEvent =
  | { readonly kind: "stage"; readonly text: string }
  /** What the device is, and which weights the model has. */
  | {
      readonly kind: "ready";
      readonly device: string;
      readonly weights: string;
      readonly trained: boolean;
      readonly layers: readonly Layer[];
    }
  /** The prompt, a piece of text a token; for each the routes that it took, null where nobody knows. */
  | {
      readonly kind: "prompt";
      readonly pieces: readonly string[];
      readonly computed: readonly (readonly (boolean | null)[])[];
    }
  /** `computed`: of the token before. */
  | { readonly kind: "token"; readonly text: string; readonly computed: readonly boolean[] | null };

export interface TrainAsk {
  readonly source: Omit<Source, "phase">;
  /** What it learns, as bytes. */
  readonly text: string;
  readonly steps: number;
  /** Sequences of a step, and bytes of each. */
  readonly batch: number;
  readonly context: number;
  readonly learningRate: number;
}

export type TrainEvent =
  | { readonly kind: "stage"; readonly text: string }
  | { readonly kind: "ready"; readonly device: string; readonly weights: number }
  /** A step that is done; the loss is the objective's own, in nats a byte. */
  | {
      readonly kind: "step";
      readonly step: number;
      readonly loss: number;
      readonly tokens: number;
      readonly seconds: number;
    };

export interface TrainSummary {
  readonly steps: number;
  /** Whether it was stopped before the last step. */
  readonly stopped: boolean;
}

export interface DeviceCalls {
  /** What is stopped ends with what it has come to. */
  readonly train: { readonly ask: TrainAsk; readonly event: TrainEvent; readonly answer: TrainSummary };
  readonly run: { readonly ask: RunAsk; readonly event: RunEvent; readonly answer: Summary };
}
