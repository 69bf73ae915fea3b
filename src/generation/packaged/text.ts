// Converts between texts and tokens of a built model, as bytes or with the package's tokenizer.
import { ByteText, type SamplingOptions, type TextCodec } from "../generate/index.js";
import type { Message } from "../generate/prompts.js";
import { InputError } from "../../runtime/device/errors.js";
import { readFile, textOf, type FileOptions } from "./files.js";
import { DEFAULTS, TOKENIZER_FILES, type Manifest } from "./manifest.js";

export interface ModelText extends TextCodec {
  /** Tokens of a conversation that the model is to continue; null if the package has no chat template. */
  readonly chat: ((messages: readonly Message[]) => ArrayLike<number>) | null;
}

/** The texts of the tokenizer's files; null for files that the package does not have. */
export interface TokenizerTexts {
  readonly tokenizer: string;
  readonly config: string | null;
  readonly template: string | null;
}

/** The part of the runtime that only packages with a tokenizer include. */
export interface TokenizerPart {
  readText(texts: TokenizerTexts): Promise<ModelText>;
}

/** Default options of generation, from `generation.json`. */
export interface Defaults {
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  readonly maxTokens: number | null;
  readonly sampling: SamplingOptions;
}

export const NO_DEFAULTS: Defaults = { ends: [], maxTokens: null, sampling: {} };

/** Each byte of UTF-8 is a token. */
const BYTES = 256;
const byteText: ModelText = {
  encode: (text) => new TextEncoder().encode(text),
  decoder() {
    const bytes = new ByteText();
    return { add: (token) => bytes.push([token]), finish: () => bytes.end() };
  },
  chat: null,
};

const noText: ModelText = {
  encode() {
    throw new InputError(
      "prompt",
      "the package has no tokenizer, and its model does not read bytes",
      "give tokens as numbers",
    );
  },
  decoder: () => ({ add: () => "", finish: () => "" }),
  chat: null,
};

export interface OpenedText {
  readonly text: ModelText;
  readonly defaults: Defaults;
}

/**
 * Reads the package's files for texts. `part` imports the tokenizer part of the runtime, if the package has it. Throws
 * PackageError, and what the tokenizer throws.
 */
export async function openText(
  manifest: Manifest,
  vocabulary: number,
  options: FileOptions,
  part: (() => Promise<TokenizerPart>) | null,
): Promise<OpenedText> {
  const read = async (name: string): Promise<string | null> =>
    manifest.files.some((f) => f.name === name) ? textOf(name, await readFile(manifest, name, options)) : null;
  const [tokenizer, config, template, defaults] = await Promise.all([
    read(TOKENIZER_FILES.tokenizer),
    read(TOKENIZER_FILES.config),
    read(TOKENIZER_FILES.template),
    read(DEFAULTS),
  ]);
  const bytes = vocabulary === BYTES ? byteText : noText;
  return {
    text: part !== null && tokenizer !== null ? await (await part()).readText({ tokenizer, config, template }) : bytes,
    defaults: defaults === null ? NO_DEFAULTS : (JSON.parse(defaults) as Defaults), // of the hash that was built
  };
}
