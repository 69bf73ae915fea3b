// The description of a decoder or an encoder, and what its text is put together from.
import type { Activation } from "./activation.js";
import { CheckpointError } from "./errors.js";
import type {
  Biases,
  BoundedGate,
  Caps,
  Factors,
  Family,
  HeadNorms,
  LearnedPositions,
  Loops,
  Norm,
  Temperature,
} from "./family.js";
import type { Head } from "./head.js";
import type { KeyNames } from "./key-names.js";
import type { Latent } from "./latent.js";
import type { Mixture } from "./mixture.js";
import type { Recurrent } from "./recurrent.js";
import type { Rotation } from "./rotary.js";

/** The architecture of a decoder, or of an encoder: a stack of layers. */
export interface DecoderConfig {
  readonly family: Family;
  /** The source of the description: a `config.json` or a GGUF file. */
  readonly origin: "config.json" | "gguf";
  /** The size of the vocabulary. */
  readonly vocab: number;
  /** The width of the residual stream. */
  readonly dim: number;
  /** The hidden width of the MLP. */
  readonly hidden: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** The maximum length of a sequence. */
  readonly context: number;
  /** The epsilon of the norms. */
  readonly eps: number;
  readonly norm: Norm;
  readonly residual: ReturnType<Family["residual"]>;
  readonly headNorms: HeadNorms | null;
  /** The largest absolute value of queries, keys and values, which are clipped to it; null: no limit. */
  readonly clip: number | null;
  readonly activation: Activation;
  readonly bounded: BoundedGate | null;
  readonly biases: Biases;
  /** Whether the output weights are tied to the embedding. */
  readonly tied: boolean;
  readonly headBias: boolean;
  /** The attention window of each layer; 0: no limit. */
  readonly windows: readonly number[];
  /** For each layer the length of the chunks in which a token sees other tokens; 0: no chunks. Null: no layer has them. */
  readonly chunks: readonly number[] | null;
  /** The rotation of queries and keys; null: none. */
  readonly rotation: Rotation | null;
  /** The factor on queries of layers that do not rotate; null: none. */
  readonly temperature: Temperature | null;
  readonly learned: LearnedPositions | null;
  /** The rows of the table of token types; null: none. */
  readonly types: number | null;
  /** What a score loses for each position between query and key, by head; null: nothing. */
  readonly alibi: readonly number[] | null;
  readonly factors: Factors;
  readonly caps: Caps;
  /** The mixture of experts in some or all layers; null: no layer has one. */
  readonly mixture: Mixture | null;
  /** Latent attention; null: attention with key/value heads, one per query head or shared by groups. */
  readonly latent: Latent | null;
  /** The recurrent layers; null: all layers have attention. */
  readonly recurrent: Recurrent | null;
  /** The factor on attention scores; null: 1/√(head width). */
  readonly scoreScale: number | null;
  /** The loops of layers that run several times; null: each layer runs once. */
  readonly loops: Loops | null;
  /**
   * Number of multi-token prediction layers after the last layer, whose weights a checkpoint may hold; modc ignores
   * them.
   */
  readonly ahead: number;
  /** The names of the weights in a checkpoint. */
  readonly keys: KeyNames;
  /** What is computed behind the last layer; null: the logits of each token, as a decoder's. */
  readonly head: Head | null;
}

/** Formats a number as a float literal of the language. */
export function floatText(value: number): string {
  if (!Number.isFinite(value))
    throw new CheckpointError("bad-config", `${value} cannot be written as a number of the language`);
  const plain = value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
  return /[.e]/.test(plain) ? plain : `${plain}.0`;
}

/** Joins names with commas, omitting those that the configuration does not need. */
export const joinNames = (...names: readonly (string | false)[]): string =>
  names.filter((name) => name !== false).join(", ");

/** Whether a layer returns the stream itself, and not what it adds to it. */
export const isWhole = ({ loops, family }: DecoderConfig): boolean => loops !== null || family.norms === "sum";

export const isUniform = (windows: readonly number[]): boolean => windows.every((w) => w === windows[0]);
export const hasWindows = ({ windows }: DecoderConfig): boolean => windows.some((w) => w > 0);
