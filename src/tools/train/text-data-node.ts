// A text as the data of a run: windows of its tokens.
import { batchAt, batchesOf, windowBatch } from "./batches.js";
import { openCorpus, type Corpus, type CorpusOptions } from "./corpus-node.js";
import { spread, type DataSettings, type TrainingData } from "./data.js";
import { TrainError } from "./errors.js";
import type { TextInputs } from "../../language/check/model/text-inputs.js";
import { epochsAt, epochsOf, split, wholeWindows } from "./windows.js";

/** Tokens of the passage that the report shows. */
const PASSAGE = 256;

export interface TextModel {
  readonly inputs: TextInputs;
  readonly vocabulary: number | null;
}

/** Opens a text. Throws TrainError. */
export async function openText(
  options: CorpusOptions,
  { inputs, vocabulary }: TextModel,
  settings: DataSettings,
): Promise<TrainingData> {
  const corpus = await openCorpus(options);
  try {
    expectFits(corpus.largestToken, options.data, vocabulary);
    return dataOf(corpus, inputs, settings);
  } catch (error) {
    await corpus.close();
    throw error;
  }
}

function dataOf(
  corpus: Corpus,
  inputs: TextInputs,
  { batch: rows, context, seed, validation, validationWindows }: DataSettings,
): TrainingData {
  const parts = split(corpus.tokens, context, validation);
  const text = { corpus, inputs, split: parts, rows, context };
  const held = spread(wholeWindows(parts.boundary, parts.tokens, context), validationWindows);
  const length = Math.min(context, PASSAGE, parts.tokens - parts.boundary - 1);
  const isHeld = parts.boundary < parts.tokens;
  return {
    digest: corpus.digest,
    path: corpus.path,
    counts: { unit: "token", training: parts.boundary, validation: parts.tokens - parts.boundary },
    bytesPerToken: corpus.bytes / corpus.tokens,
    notes: [],
    sequences: Math.max(1, Math.floor((parts.boundary - 1) / context)),
    epochsOf: (sequences) => epochsOf(sequences, { boundary: parts.boundary, context, seed }),
    epochsAt: (position) => epochsAt(position, { boundary: parts.boundary, context, seed }),
    next: (position) => batchAt(position, seed, text),
    validation: isHeld ? () => batchesOf(held, text) : null,
    passage: isHeld
      ? { tokens: inputs.tokens, batch: () => windowBatch({ offset: parts.boundary, length }, text) }
      : null,
    separator: corpus.separator,
    encode: (prompt) => corpus.encode(prompt),
    show: (tokens) => corpus.show(tokens),
    changed: () => corpus.changed(),
    close: () => corpus.close(),
  };
}

/** Checks that a data's tokens are within the model's vocabulary. */
export function expectFits(largestToken: number, data: string, vocabulary: number | null): void {
  if (vocabulary === null || largestToken < vocabulary) return;
  throw new TrainError("bad-data", `${data} has the token ${largestToken}, but the model has ${vocabulary} tokens`, {
    hint: "give the model's tokenizer, or set the model's vocabulary",
  });
}
