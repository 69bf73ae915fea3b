// Reads the model of a checkpoint's folder: the folder's own source, or a source generated from its configuration, and
// the defaults for generation. Node only.
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { escapedName } from "../../ground/base/shown.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { parseConfig } from "./config.js";
import type { Sentences } from "./description/head.js";
import type { DecoderConfig } from "./description/decoder.js";
import { decoderSource } from "./source/decoder.js";
import { CheckpointError } from "./description/errors.js";
import { Fields } from "./description/fields.js";
import { ADAPTER_CONFIG, checkpointFiles, CONFIG_FILE, MODEL_FILE, MODULES_FILE, isTorchFile } from "./files-node.js";
import { parseSentences } from "./sentences.js";
import { NO_DEFAULTS, parseGenerationConfig, type GenerationDefaults } from "./generation.js";

/** The limit on the size of a configuration file. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The model's source: the folder's `model.mod`, or one generated from its `config.json`. Throws CheckpointError. */
export function checkpointSource(folder: string): SourceFile {
  const file = join(folder, MODEL_FILE);
  return { file, text: existsSync(file) ? readConfigText(file) : decoderSource(checkpointConfig(folder)) };
}

/** Parses the `config.json` of a folder. Throws CheckpointError. */
export function checkpointConfig(folder: string): DecoderConfig {
  const file = join(folder, CONFIG_FILE);
  if (existsSync(file)) return parseConfig(readConfigText(file), file, checkpointSentences(folder));
  throw new CheckpointError("bad-folder", `${folder} is a folder without ${CONFIG_FILE} or ${MODEL_FILE}`, {
    hint: hintFor(folder),
  });
}

/** How the files of sentence-transformers in a folder make an embedding; null without them. Throws CheckpointError. */
function checkpointSentences(folder: string): Sentences | null {
  const file = join(folder, MODULES_FILE);
  if (!existsSync(file)) return null;
  return parseSentences(readConfigText(file), file, (path) => {
    const settings = join(folder, path, CONFIG_FILE);
    return { text: readConfigText(settings), file: settings };
  });
}

/** The hint for a folder that holds a part of a model or another model file: how to open that. */
function hintFor(folder: string): string {
  const names = readdirSync(folder).toSorted((a, b) => (a < b ? -1 : 1));
  const model = names.find((name) => /\.(?:gguf|mod)$/i.test(name));
  if (model !== undefined) return `name the file: ${join(folder, escapedName(model))}`;
  if (names.includes(ADAPTER_CONFIG)) return `give the folder, which has adapters, by its path: ${folder}`;
  if (names.some((name) => name.endsWith(".safetensors") || isTorchFile(name)))
    return `download the model's ${CONFIG_FILE} to the same folder`;
  return "give a .mod file, a checkpoint's folder as Hugging Face stores it, or a GGUF file";
}

/**
 * The generation defaults of a folder. The tokens that end a text come from `generation_config.json`, else from
 * `config.json`. `vocabulary`: the number of the tokenizer's tokens, null without one. Throws CheckpointError.
 */
export function checkpointDefaults(folder: string, vocabulary: number | null): GenerationDefaults {
  const { generationConfig } = checkpointFiles(folder);
  const found = join(folder, CONFIG_FILE);
  const config = existsSync(found) ? found : null;
  const most = vocabulary && Math.max(vocabulary, config === null ? 0 : vocabularyOf(config));
  const read = (file: string): GenerationDefaults => parseGenerationConfig(readConfigText(file), file, most);
  const defaults = generationConfig === null ? NO_DEFAULTS : read(generationConfig);
  return defaults.ends.length > 0 || config === null ? defaults : { ...defaults, ends: read(config).ends };
}

/** The vocabulary size in a `config.json`, which may be larger than the tokenizer's; 0 if the file has none. */
const vocabularyOf = (file: string): number => Fields.parse(readConfigText(file), file).whole("vocab_size", 0) ?? 0;

/** Reads a small UTF-8 file, without its byte-order mark. Throws CheckpointError. */
export function readConfigText(path: string): string {
  const tooLarge = (size: number): CheckpointError =>
    new CheckpointError("bad-folder", `${path} has ${size} bytes: too many for ${basename(path)}`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readRegular(path, MAX_BYTES, tooLarge));
  } catch (cause) {
    // Node's errors have a `code`
    const undecoded = (cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    if (undecoded) throw new CheckpointError("bad-folder", `${path} is not UTF-8 text`, { cause });
    const code = errnoOf(cause);
    if (code === null) throw cause;
    throw new CheckpointError("bad-folder", `cannot read ${path}: ${reasonOf(code)}`, { cause });
  }
}
