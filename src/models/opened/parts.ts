// The parts in which the kinds of models differ, before weights and a tokenizer are chosen.
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import type { DecoderConfig } from "../families/description/decoder.js";
import type { Trained } from "../runs/trained-node.js";

export interface Parts {
  readonly path: string;
  readonly file: string;
  readonly source: () => SourceFile;
  readonly read: Read;
  readonly run: Trained | null;
  readonly describe: () => DecoderConfig | null;
  /** The folder whose defaults of generation count; null: there is none. */
  readonly folder: string | null;
  /** The path of the model's own weights, or a function that opens the weights; null: the model has none. */
  readonly weights: string | (() => Promise<WeightSource>) | null;
  /** The path of the model's own tokenizer; null: the model has none. */
  readonly tokenizer: () => string | null;
}
