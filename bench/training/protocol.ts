// The protocol between the bench and each peer's process for training steps.
import type { PeerName, Sent } from "../protocol.js";

/** The peers that can train; onnxruntime for Node only runs models. */
export type TrainerName = Extract<PeerName, "modc" | "jax" | "tfjs">;

export const TRAINERS: readonly TrainerName[] = ["modc", "jax", "tfjs"];

/** Tokens and the next token of each, [B, T]. */
export interface TrainBatch {
  readonly tokens: Uint32Array;
  readonly targets: Uint32Array;
}

/** AdamW with clipping by the norm of all gradients together. */
export interface Settings {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** The decay of matrices other than the embedding. */
  readonly decay: number;
  readonly clip: number;
}

/** Everything a peer needs to train a model; the same for every peer. */
export interface TrainData {
  readonly id: string;
  readonly B: number;
  readonly T: number;
  readonly dim: number;
  readonly heads: number;
  readonly depth: number;
  readonly vocab: number;
  /** Rows of a sequence that every second layer chooses; null: all layers are dense. */
  readonly k: number | null;
  /** The model as modc reads it, and parameters to set. */
  readonly source: string;
  readonly set: Readonly<Record<string, string>>;
  readonly settings: Settings;
  readonly weights: readonly (readonly [string, Sent])[];
  /** Step n takes batch n modulo their number. */
  readonly batches: readonly TrainBatch[];
}

/** Whether a weight decays. */
export const decays = (path: string, { shape }: Pick<Sent, "shape">): boolean =>
  shape.length >= 2 && path !== "embed.table";

/** Weights during training, by path, in modc's layout. */
export interface Standing {
  readonly weights: readonly (readonly [string, Float32Array])[];
  /** The first moments of AdamW: after one step (1 − beta1) times the clipped gradients. */
  readonly moments: readonly (readonly [string, Float32Array])[];
}

export type TrainRequest =
  /** Builds a model and all that its steps need, short of what the first step compiles. */
  | { readonly kind: "train"; readonly data: TrainData }
  /** So many steps more, of which only the last is waited for: milliseconds, and the loss of each. */
  | { readonly kind: "steps"; readonly id: string; readonly count: number }
  | { readonly kind: "standing"; readonly id: string }
  | { readonly kind: "stop"; readonly id: string };

export type TrainReply =
  | { readonly kind: "training" }
  | { readonly kind: "stepped"; readonly milliseconds: number; readonly losses: readonly number[] }
  | { readonly kind: "stands"; readonly standing: Standing }
  | { readonly kind: "stopped" };
