// The data of a run as the training loop sees it: batches by position, whatever kind of file they come from.
import type { TokenizerSource } from "../../models/tokenizer/source-node.js";
import type { Batch } from "./types.js";
import type { DataPosition } from "./windows.js";

/** A run's data, split into training and validation. */
export interface TrainingData {
  /** Digest of the files and their encoding: equal digests mean equal batches. */
  readonly digest: string;
  /** The file of the cache. */
  readonly path: string;
  readonly counts: {
    /** What a position counts: windows of a text, or records. */
    readonly unit: "token" | "record";
    readonly training: number;
    readonly validation: number;
  };
  /** Bytes of text for each target; null if they are not known. */
  readonly bytesPerToken: number | null;
  /** Sentences about the data that are no errors. */
  readonly notes: readonly string[];
  /** Sequences of an epoch; packed records share some. */
  readonly sequences: number;
  /** Number of epochs that so many sequences, from the beginning, read. */
  epochsOf(sequences: number): number;
  /** Number of epochs read up to a position, with the read share of the epoch under way. */
  epochsAt(position: DataPosition): number;
  /** The batch at a position, and the next position: a function of the position alone. */
  next(position: DataPosition): Promise<{ readonly batch: Batch; readonly next: DataPosition }>;
  /** Batches of the held-out part, in order; null: nothing is held out. */
  readonly validation: (() => AsyncIterable<Batch>) | null;
  /**
   * A short batch of one row of the held-out part, for the picture of routes; `tokens` is its input of tokens, and
   * `axis` the sequence axis of that input if there are several.
   */
  readonly passage: {
    readonly tokens: string;
    readonly axis?: string;
    readonly batch: () => Promise<Batch>;
  } | null;
  /** The token that ends a text; null: none. */
  readonly separator: number | null;
  /** The tokens of a prompt. */
  encode(text: string): Promise<readonly number[]>;
  /** The text of each token, for display. */
  show(tokens: readonly number[]): readonly string[];
  /** How the files have changed since they were read, as a sentence; null: they are unchanged. */
  changed(): Promise<string | null>;
  close(): Promise<void>;
}

/** How rows become records. */
export interface RecordSettings {
  /** The column of a text. Default "text". */
  readonly field?: string;
  /** A chat template: a file of Jinja, or a known name. Default: the tokenizer's. */
  readonly chatTemplate?: string;
  /** The names of classes by input: `{ labels: ["no", "yes"] }`. */
  readonly labels?: Readonly<Record<string, readonly string[]>>;
  /** `answers`: completions and answers alone are learned; `all`: prompts too. Default `answers`. */
  readonly learn?: "answers" | "all";
  /** Whether several records share a row of the batch, up to the context. Default false. */
  readonly pack?: boolean;
}

/** Where the data of a run are. */
export interface DataOptions extends RecordSettings {
  /** A file, a folder, or an installed package. */
  readonly data: string;
  /** A `tokenizer.json` or a GGUF file; without one, bytes. */
  readonly tokenizer?: string | TokenizerSource;
}

/** The settings on which batches depend. */
export interface DataSettings {
  readonly batch: number;
  readonly context: number;
  readonly seed: number;
  /** The share held out, from the end. */
  readonly validation: number;
  /** Sequences of the held-out part to evaluate, spread evenly; 0: all. */
  readonly validationWindows: number;
}

/** `most` evenly spaced elements of a list; 0: all. */
export function spread<T>(list: readonly T[], most: number): readonly T[] {
  if (most === 0 || list.length <= most) return list;
  return Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);
}
