// An opened model: its source, parameters, weights, tokenizer and defaults, whatever kind of path names it.
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { BlockWeights, WeightsInput } from "../../runtime/weights/input.js";
import type { MatchedSource } from "../../runtime/weights/matched.js";
import type { Program } from "../../runtime/program/program.js";
import type { DecoderConfig } from "../families/description/decoder.js";
import type { GenerationDefaults } from "../families/generation.js";
import type { Trained } from "../runs/trained-node.js";
import type { ChatTemplate } from "../tokenizer/chat.js";
import type { TokenizerSource } from "../tokenizer/source-node.js";
import type { OpenedTokenizer, TokenizerInfo } from "../tokenizer/tokenizer-node.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";

/**
 * `source`: a `.mod` file. `checkpoint`: a folder as Hugging Face stores it. `adapter`: a folder that PEFT wrote,
 * with adapters for a base model. `gguf`: a GGUF file. `run`: a training run's folder, or a checkpoint in the folder.
 * `program`: a JSON file, such as a compiled program.
 */
export type ModelKind = "source" | "checkpoint" | "adapter" | "gguf" | "run" | "program";

/** Parameters by name, as expressions of the language. */
export type Parameters = Readonly<Record<string, string>>;

/** An opened model. What is read of its files is read when it is first asked for, and kept until `close`. */
export interface OpenedModel {
  readonly kind: ModelKind;
  /** The path that the caller named. */
  readonly named: string;
  /** The path that was opened; for a run, the folder of its checkpoint. */
  readonly path: string;
  /** The name of the source in messages; imports are relative to its folder. */
  readonly file: string;
  /**
   * The text of the model: a file's, the copy that a run keeps, or one generated from a configuration. Throws what
   * reading it throws.
   */
  readonly source: SourceFile;
  /** Reads the source's imports. */
  readonly read: Read;
  /** The name of the model that a run trained; null: no run says it. */
  readonly model: string | null;
  /** Parameters that a run set, with the values of `live`; without a run, `live` alone. */
  readonly set: Parameters;
  /** Values that a run trained live parameters to: the run that was opened, or that whose weights are used. */
  readonly live: Parameters;
  /** The run that was opened; null for other kinds. */
  readonly run: Trained | null;
  /** Null: there are none. */
  readonly weights: ModelWeights | null;
  /** Other weights for the same model; a run's folder stands for its checkpoint. Throws SessionError. */
  otherWeights(input: WeightsInput | BlockWeights): ModelWeights;
  /** Null: the model reads bytes. Throws SessionError if a run's tokenizer is gone. */
  readonly tokenizer: TokenizerSource | null;
  /** Throws CheckpointError, SessionError, TokenizerError, and WeightsError for a broken GGUF file. */
  texts(): Promise<ModelTexts>;
  /** The layers as the configuration describes them; null for kinds without one. Throws CheckpointError. */
  describe(): DecoderConfig | null;
  /** Closes its files. */
  close(): Promise<void>;
}

/** A model's tokenizer and chat template, and its defaults of generation. */
export interface ModelTexts {
  /** Null: the model reads bytes. */
  readonly tokenizer: Tokenizer | null;
  /** Null: there is no template. */
  readonly chat: ChatTemplate | null;
  /** Null: there is no tokenizer. */
  readonly info: TokenizerInfo | null;
  /** The texts of the tokenizer's files; null without a tokenizer. */
  readonly files: OpenedTokenizer["texts"] | null;
  /** The tokens that end a text come from the model's folder, else from the tokenizer, and from a chosen template. */
  readonly defaults: GenerationDefaults;
}

/** A run whose weights were named, and the path that named it. */
export interface NamedRun {
  readonly named: string;
  readonly run: Trained;
}

/** The weights of an opened model. Their file is opened once, and matched to the model once. */
export interface ModelWeights {
  /** Their path or address; null: they are in memory, or of several files. */
  readonly place: string | null;
  /** The run whose weights were named for another model; null: it is no run. */
  readonly run: Trained | null;
  /** The same run, or the runs whose weights were named for blocks. */
  readonly runs: readonly NamedRun[];
  /** Downloads, and values that a function gives, are no tensors before `load` opens them. */
  readonly origin: "tensors" | "download" | "function";
  /** The open tensors. Throws WeightsError, also for tensors of another origin. */
  source(): Promise<MatchedSource>;
  /** Checks that tensors fit, and returns the weights for `load`, which checks others. Throws WeightsError. */
  fitted(model: Pick<Program, "weights" | "ignore">): Promise<WeightsInput>;
}
