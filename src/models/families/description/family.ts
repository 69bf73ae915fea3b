// What a record of a family says: how the family differs from Llama.
import type { Activation } from "./activation.js";
import type { Fields } from "./fields.js";
import type { HeadKind, LastMap, Pooling, Transform } from "./head.js";
import type { KeyNames } from "./key-names.js";
import type { Latent } from "./latent.js";
import type { Mixture } from "./mixture.js";
import type { Recurrent } from "./recurrent.js";
import type { Rotation } from "./rotary.js";

/** Whether the linear maps of a layer have a bias. */
export interface Biases {
  readonly qkv: boolean;
  readonly o: boolean;
  readonly mlp: boolean;
}

/** A normalization of rows. */
export interface Norm {
  /** "rms": by the root mean square (arXiv 1910.07467); "layer": by mean and variance (arXiv 1607.06450). */
  readonly kind: "rms" | "layer";
  /** What the normalized row is multiplied by: the weight, 1 + the weight, or nothing. */
  readonly weight: "weight" | "1 + weight" | "none";
  readonly bias: boolean;
}

export const RMS: Norm = { kind: "rms", weight: "weight", bias: false };
export const SHIFTED: Norm = { kind: "rms", weight: "1 + weight", bias: false };
export const LAYER: Norm = { kind: "layer", weight: "weight", bias: true };

/** The norms of queries and keys. */
export interface HeadNorms {
  /** "head": each head alone, by one weight; "heads": each head alone, by its own weight; "row": all heads as one row. */
  readonly over: "head" | "heads" | "row";
  /** Whether a checkpoint stores the weight of each head on its own, as "heads" may; its key has the placeholder {h}. */
  readonly apart?: boolean;
  readonly norm: Norm;
  /** If true, they follow the rotation. */
  readonly behind: boolean;
  /** Their epsilon; null: as of the other norms. */
  readonly eps: number | null;
  /** Whether layers that do not rotate lack them; only if they stand behind the rotation. */
  readonly onlyTurned?: boolean;
}

/**
 * A factor on queries of layers that do not rotate, which grows with the position p (Nakanishi 2025, arXiv 2501.19399):
 * 1 + scale · ln(1 + ⌊(p + 1) / floor⌋).
 */
export interface Temperature {
  readonly floor: number;
  readonly scale: number;
}

/** Factors on activations; 1: none. */
export interface Factors {
  readonly embedding: number;
  /** On what attention and network add to the stream. */
  readonly update: number;
  readonly logits: number;
}

/** Soft caps: a value v becomes cap · tanh(v / cap) (Gemma 2, arXiv 2408.00118); null: none. */
export interface Caps {
  readonly scores: number | null;
  readonly logits: number | null;
}

/**
 * A gated network whose gate and up are bounded (gpt-oss, arXiv 2508.10925): with g = min(gate(x), limit) it is
 * down(g · sigmoid(gain · g) · (clip(up(x), ±limit) + 1)).
 */
export interface BoundedGate {
  readonly gain: number;
  readonly limit: number;
}

/** Learned positions: a table of `count` rows; position p has row p + offset. */
export interface LearnedPositions {
  readonly count: number;
  readonly offset: number;
}

/** Layers that run several times, until a token's exit gate stops them for the token. */
export interface Loops {
  readonly most: number;
  /** A token leaves the loop when its cumulative exit probability reaches this threshold. */
  readonly threshold: number;
}

/** A configuration's field names; null: the family has no such field, and its default holds. */
export interface FieldNames {
  readonly dim: string;
  /** The network's hidden width. */
  readonly hidden: string | null;
  /** The number of layers. */
  readonly depth: string;
  /** Null: the family has no attention. */
  readonly heads: string | null;
  readonly kvHeads: string | null;
  readonly headDim: string | null;
  /** The greatest length of a sequence. */
  readonly positions: string | null;
  readonly eps: string | null;
  readonly activation: string | null;
}

/** Sizes that a family's features may depend on. */
export interface Sizes {
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly positions: number;
}

export interface Family {
  /** `model_type`. */
  readonly type: string;
  /** The name of the model in the `.mod` file. */
  readonly model: string;
  readonly architecture: string;
  /** Other names of the architecture in `architectures`. */
  readonly alsoCalled: readonly string[];
  readonly fields: FieldNames;
  /** Other names of fields, with the name under which each is read. */
  readonly otherFields: Readonly<Record<string, string>>;
  /** Further fields that the members below read. */
  readonly reads: readonly string[];
  /** Default of the greatest length. */
  readonly positions: number;
  /** Default width of a head; null: dim / heads. */
  readonly headDim: number | null;
  /** Default number of key/value heads; null: the number of query heads. */
  readonly kvHeads: number | null;
  /** The number of key/value heads if a field other than `fields.kvHeads` decides; null: it does not. */
  heads(config: Fields): number | null;
  /** Default of the network's hidden width; null: the field is needed. */
  hidden(config: Fields, dim: number): number | null;
  /** Default activation and epsilon. */
  readonly activation: string;
  readonly eps: number;
  /** Whether the output weights are those of the embedding if the configuration does not say it. */
  readonly tied: boolean;
  /** Whether the output has a bias. */
  headBias(config: Fields): boolean;
  biases(config: Fields): Biases;
  norm(config: Fields): Norm;
  /**
   * Where the norms of a layer stand: before attention and network, behind them, or both. "sum": the norm reads the sum
   * of the stream and an update, and no norm follows the last layer.
   */
  readonly norms: "before" | "behind" | "both" | "sum";
  /** Whether the attention of the first layer has no norm before it. */
  readonly bareFirst: boolean;
  /** Whether the embedding's rows are normalized before the first layer. */
  readonly embeddingNorm: boolean;
  /**
   * "serial": the network reads what attention has added to; "parallel": both read the stream through one norm;
   * "parallel, two norms": each reads the stream through its own.
   */
  residual(config: Fields): "serial" | "parallel" | "parallel, two norms";
  headNorms(config: Fields): HeadNorms | null;
  /** The largest absolute value of queries, keys and values, which are clipped to it; null: no limit. */
  clip(config: Fields): number | null;
  /** "gated": down(act(gate(x)) · up(x)); "plain": down(act(up(x))); "none": layers mix tokens only. */
  readonly network: "gated" | "plain" | "none";
  /** The bounds of a gated network, in place of the activation; null: none. */
  bounded(config: Fields): BoundedGate | null;
  /** Activations by names that only this family gives them. */
  readonly activations: Readonly<Record<string, Activation>>;
  /** The attention window of each of `depth` layers; 0: no limit. */
  windows(config: Fields, depth: number): readonly number[];
  /** For each layer the length of the chunks in which a token sees other tokens; 0: no chunks. Null: no layer has them. */
  chunks(config: Fields, depth: number): readonly number[] | null;
  /** The factor on queries of layers that do not rotate; null: none. */
  temperature(config: Fields): Temperature | null;
  /** Default of `rope_theta`. */
  readonly theta: number;
  /** The rotation of queries and keys; null: the family rotates nothing. */
  rotation(config: Fields, sizes: Sizes, theta: number): Rotation | null;
  learned(config: Fields, sizes: Sizes): LearnedPositions | null;
  /** What a score loses for each position between query and key, by head (ALiBi, arXiv 2108.12409); null: nothing. */
  alibi(config: Fields, sizes: Sizes): readonly number[] | null;
  factors(config: Fields, sizes: Sizes): Factors;
  /** The factor on attention scores; null: 1/√(head width). */
  scoreScale(config: Fields, sizes: Sizes): number | null;
  caps(config: Fields): Caps;
  /** Whether a token sees only itself and those before it. If not, the family's models are encoders. */
  readonly causal: boolean;
  /** The rows of the table of token types, of which each token gets the first; null: there is no table. */
  types(config: Fields): number | null;
  /** Which row of a text the head reads. */
  pooling(config: Fields): Pooling;
  /** The map in front of the last one; null: none. */
  transform(config: Fields, kind: HeadKind): Transform | null;
  /** The last map of heads with logits, other than a decoder's. */
  lastMap(config: Fields, kind: "tokens" | "labels"): LastMap;
  /** Keys, with a prefix or without, that a checkpoint may have and a head of this kind does not use. */
  ignored(kind: HeadKind | "sentences"): readonly string[];
  /** Whether each head has a sink: a score that a token may give to nothing. */
  readonly sinks: boolean;
  /**
   * Whether attention's rows are multiplied by the sigmoid of a gate before the output map. The map of queries has for
   * each head the rows of the query, then those of its gate.
   */
  readonly outGate: boolean;
  /** Whether queries, keys and values come from one map whose rows lie group by group, each the heads of a key. */
  readonly fused: boolean;
  /** The mixture of experts; null if the family has none. */
  mixture(config: Fields, depth: number): Mixture | null;
  /** The latent attention; null if the family has none. */
  latent(config: Fields, dim: number): Latent | null;
  /** The layers that have a recurrent mixer in place of attention; null: the family has none. */
  recurrent(config: Fields, sizes: Sizes): Recurrent | null;
  /** Whether a layer has two attentions and two networks, with the mixture parallel to its second half. */
  readonly twofold: boolean;
  /** The loops over all layers; null: they run once. */
  loops(config: Fields): Loops | null;
  /** The names of the weights in a checkpoint. */
  keys(config: Fields): KeyNames;
}
