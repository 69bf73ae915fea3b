// What a model computes from the stream behind its last layer, where that is not a decoder's logits of each token.
import type { Activation } from "./activation.js";
import type { Fields } from "./fields.js";

/** The row of a text: the row of its first or its last token, or the mean of all rows. */
export type Pooling = "first" | "last" | "mean";

/**
 * "tokens": logits of each token, from a map that an encoder has before its table (masked language models). "labels":
 * logits of a text. "features": the rows of all tokens, and the row of a text.
 */
export type HeadKind = "tokens" | "labels" | "features";

/** A map of rows to rows of the same width, its activation, and a norm behind it. */
export interface Transform {
  readonly activation: Activation | "tanh";
  readonly bias: boolean;
  /** The key of the map, and whether the prefixes of a checkpoint apply to it. */
  readonly key: string;
  readonly prefixed: boolean;
  /** The key of the norm, without prefix; null: there is none. */
  readonly norm: string | null;
}

/** The last map of a head, whose key has no prefix. `bias`: the keys of the bias, of which a checkpoint has any. */
export interface LastMap {
  readonly key: string;
  readonly bias: readonly string[];
}

/**
 * The loss of a model of labels: "classes": cross-entropy of one label; "values": the mean squared error of numbers;
 * "flags": the cross-entropy of each label alone.
 */
export type LabelLoss = "classes" | "values" | "flags";

export interface Head {
  readonly kind: HeadKind;
  /** The name in `architectures`. */
  readonly architecture: string;
  readonly pooling: Pooling;
  /** Null: none. */
  readonly transform: Transform | null;
  /** Whether the row of a text is divided by its length. */
  readonly unit: boolean;
  /** The number of labels; 0 for other kinds. */
  readonly labels: number;
  readonly loss: LabelLoss;
  /** Null for features. */
  readonly last: LastMap | null;
  /** Keys, with a prefix or without, that the checkpoint may have and the model does not use. */
  readonly ignored: readonly string[];
}

/** How sentence-transformers makes an embedding of the rows of a model's tokens. */
export interface Sentences {
  readonly pooling: Pooling;
  readonly unit: boolean;
}

/** The number of labels. transformers stores the names of the labels, and takes two labels if there are no names. */
export const labelsOf = (config: Fields): number =>
  config.whole("num_labels") ?? config.object("id2label")?.names.length ?? 2;

/** The loss that transformers takes for integer labels if `problem_type` does not name it. Throws CheckpointError. */
export function labelLoss(config: Fields, labels: number): LabelLoss {
  const type = config.text("problem_type") ?? (labels === 1 ? "regression" : "single_label_classification");
  const loss = LOSSES.get(type);
  return loss ?? config.refuse("problem_type", `modc knows ${[...LOSSES.keys()].join(", ")}`);
}

const LOSSES: ReadonlyMap<string, LabelLoss> = new Map([
  ["regression", "values"],
  ["single_label_classification", "classes"],
  ["multi_label_classification", "flags"],
]);

/** The names in `architectures` that have a kind of head, for the classes of this stem: `Bert`, `Llama`. */
export const headArchitectures = (stem: string, isCausal: boolean): ReadonlyMap<string, HeadKind> =>
  new Map<string, HeadKind>([
    [`${stem}Model`, "features"],
    [`${stem}ForSequenceClassification`, "labels"],
    ...(isCausal ? [] : [[`${stem}ForMaskedLM`, "tokens"] as const]),
  ]);

/** `LlamaForCausalLM` has the stem `Llama`. */
export const stemOf = (architecture: string): string => architecture.replace(/(?:ForCausalLM|LMHeadModel|Model)$/, "");
