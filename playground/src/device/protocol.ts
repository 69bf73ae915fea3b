// The calls from the page to the device's worker.
import type { Summary } from "../../../src/generation/generate/index.js";
import type { Source } from "../source.js";

/** The source of a model's weights: the trained file, training in this page, or random values. */
export type WeightsChoice = "trained" | "here" | "random";

/** The values of an input, the batch of one in front. */
export interface GivenValues {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array;
}

export interface RunAsk {
  readonly source: Omit<Source, "phase">;
  /** The text to continue; null: the model runs once on its inputs. */
  readonly prompt: string | null;
  /** Inputs beside the prompt, by name; others are random. */
  readonly inputs: Readonly<Record<string, GivenValues>>;
  readonly maxTokens: number;
  /** 0: always the most likely token. */
  readonly temperature: number;
  readonly topP: number;
  readonly seed: number;
  readonly weights: WeightsChoice;
  /** Address of the playground's trained weights. */
  readonly file: string;
}

/** A layer of the heat map, and the index of its route (0: all tokens). */
export interface Layer {
  readonly path: string;
  readonly axis: number;
  /** Whether a route decides which tokens the layer computes; if not, it computes every token. */
  readonly routed: boolean;
}

/** A mixture with its number of experts. */
export interface Mixture {
  readonly path: string;
  readonly experts: number;
}

/**
 * For each mixture, the experts of a token; null if the token did not reach the mixture, or its experts are unknown.
 */
export type Chosen = readonly (readonly number[] | null)[];

/** A result of a model that runs once: of a batch of one. */
export interface RunResult {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Which tokens of an axis its routes chose. */
export interface RouteMap {
  readonly axis: string;
  readonly tokens: number;
  readonly routes: readonly { readonly path: string; readonly chosen: readonly number[] }[];
}

export type RunEvent =
  | { readonly kind: "stage"; readonly text: string }
  /** The device and the source of the weights. */
  | {
      readonly kind: "ready";
      readonly device: string;
      readonly weights: string;
      readonly trained: boolean;
      readonly layers: readonly Layer[];
      readonly mixtures: readonly Mixture[];
    }
  /** The prompt, one text for each token, with the routes that each token took (null if unknown) and its experts. */
  | {
      readonly kind: "prompt";
      readonly pieces: readonly string[];
      readonly computed: readonly (readonly (boolean | null)[])[];
      readonly experts: readonly Chosen[];
    }
  /** `computed` and `experts`: the routes and experts of the previous token. */
  /** What a model that runs once gives, and the tokens that its routes chose. */
  | { readonly kind: "results"; readonly results: readonly RunResult[]; readonly maps: readonly RouteMap[] }
  | {
      readonly kind: "token";
      readonly text: string;
      readonly computed: readonly boolean[] | null;
      readonly experts: Chosen | null;
    };

export interface TrainAsk {
  readonly source: Omit<Source, "phase">;
  /** The training text, as bytes. */
  readonly text: string;
  readonly steps: number;
  /** Number of sequences in a step, and bytes of each. */
  readonly batch: number;
  readonly context: number;
  readonly learningRate: number;
}

export type TrainEvent =
  | { readonly kind: "stage"; readonly text: string }
  | { readonly kind: "ready"; readonly device: string; readonly weights: number }
  /** A finished step, with the objective's own loss in nats per byte. */
  | {
      readonly kind: "step";
      readonly step: number;
      readonly loss: number;
      readonly tokens: number;
      readonly seconds: number;
    };

export interface TrainSummary {
  readonly steps: number;
  /** Whether training was stopped before the last step. */
  readonly stopped: boolean;
}

export interface DeviceCalls {
  /** A stopped call resolves with the result so far; a run has a summary if it continued a prompt. */
  readonly train: { readonly ask: TrainAsk; readonly event: TrainEvent; readonly answer: TrainSummary };
  readonly run: { readonly ask: RunAsk; readonly event: RunEvent; readonly answer: Summary | null };
}
