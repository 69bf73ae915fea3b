// What the bench and the process of a peer say to each other about generation.
import type { Sent } from "../protocol.js";

/** How a peer adds a token: modc's step program; a graph with keys and values of past tokens as inputs; a graph that reads the whole text for each token. */
export type Way = "modc" | "onnx-cache" | "onnx-whole";

export const WAYS: readonly Way[] = ["modc", "onnx-cache", "onnx-whole"];

/** All that a peer needs to generate: the same for every peer. */
export interface GenerateData {
  readonly id: string;
  readonly dim: number;
  readonly heads: number;
  readonly depth: number;
  /** The model as modc reads it, and parameters to set. */
  readonly source: string;
  readonly set: Readonly<Record<string, string>>;
  readonly weights: readonly (readonly [string, Sent])[];
  readonly prompt: Uint32Array;
  /** Tokens to add. */
  readonly count: number;
}

/** Milliseconds that the dispatches of routed layers take by themselves in a step of which every routed layer is skipped. */
export interface StepTime {
  /** Scores, predictors and choices. */
  readonly choice: number;
  readonly choiceDispatches: number;
  /** Those that return at once. */
  readonly idle: number;
  readonly idleDispatches: number;
  /** Of the whole step. */
  readonly dispatches: number;
}

export type GenerateRequest =
  | { readonly kind: "prepare"; readonly data: GenerateData; readonly way: Way }
  /** Generates once; tokens are `drawn`, alike every time, which only modc is asked for, or the likeliest. Milliseconds for a token after the first, the tokens, and of each route the share of tokens that took it. */
  | { readonly kind: "generate"; readonly id: string; readonly way: Way; readonly drawn: boolean }
  /** Of modc's step program. */
  | { readonly kind: "steptime"; readonly id: string }
  | { readonly kind: "forget"; readonly id: string; readonly way: Way };

export type GenerateReply =
  | { readonly kind: "prepared" }
  | { readonly kind: "generated"; readonly milliseconds: number; readonly first: number; readonly tokens: Uint32Array; readonly shares: readonly number[] }
  | { readonly kind: "steptimed"; readonly time: StepTime }
  | { readonly kind: "forgotten" };
