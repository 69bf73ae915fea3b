// The protocol between the bench and a peer's process for generation.
import type { WeightType } from "../../src/runtime/program/target.js";
import type { Sent } from "../protocol.js";

/**
 * How a peer generates a token: modc's step program; a graph with past keys and values as inputs; a graph that reads
 * the whole text for each token.
 */
export type Way = "modc" | "onnx-cache" | "onnx-whole";

export const WAYS: readonly Way[] = ["modc", "onnx-cache", "onnx-whole"];

/** Everything a peer needs to generate; the same for every peer. */
export interface GenerateData {
  readonly id: string;
  readonly dim: number;
  readonly heads: number;
  readonly depth: number;
  /** The model as modc reads it, and parameters to set. */
  readonly source: string;
  readonly set: Readonly<Record<string, string>>;
  readonly weightsAs: WeightType;
  readonly weights: readonly (readonly [string, Sent])[];
  readonly prompt: Uint32Array;
  /** Tokens to add. */
  readonly count: number;
}

/**
 * Tokens of a turn when skipped layers are measured: few, so that the turns of a round see the machine in the same
 * state.
 */
export const SKIPPED_TOKENS = 17;

/** Milliseconds per token, round by round, of four variants of a model whose routed layers every token skips. */
export interface Skipped {
  readonly full: readonly number[];
  /** Without the dispatches that return at once. */
  readonly busy: readonly number[];
  /** Without predictors and choices either. */
  readonly bare: readonly number[];
  /** The model without routed layers. */
  readonly without: readonly number[];
  /** Dispatches of scores, predictors and choices, and those that return at once, of all layers together. */
  readonly choiceDispatches: number;
  readonly idleDispatches: number;
}

export type GenerateRequest =
  | { readonly kind: "prepare"; readonly data: GenerateData; readonly way: Way }
  /**
   * Generates once; tokens are `drawn`, alike every time, which only modc is asked for, or the likeliest. Milliseconds
   * for a token after the first, the tokens, and of each route the share of tokens that took it.
   */
  | { readonly kind: "generate"; readonly id: string; readonly way: Way; readonly drawn: boolean }
  /** Of modc alone; both are prepared. */
  | { readonly kind: "skip"; readonly id: string; readonly without: string }
  | { readonly kind: "forget"; readonly id: string; readonly way: Way };

export type GenerateReply =
  | { readonly kind: "prepared" }
  | {
      readonly kind: "generated";
      readonly milliseconds: number;
      readonly first: number;
      readonly tokens: Uint32Array;
      readonly shares: readonly number[];
    }
  | { readonly kind: "skipped"; readonly times: Skipped }
  | { readonly kind: "forgotten" };
