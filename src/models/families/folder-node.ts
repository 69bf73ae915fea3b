// Opens the model of a checkpoint (a folder or a GGUF file): its own source, or source generated from its
// configuration. Node only.
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { escapedName } from "../../ground/base/shown.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { ChatTemplate } from "../tokenizer/chat.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { openGgufTokenizer, openTokenizer, type TokenizerInfo } from "../tokenizer/tokenizer-node.js";
import { isGgufPath, openHeader, readSmallTensor } from "../../runtime/weights/gguf/header-node.js";
import { parseConfig, type DecoderConfig } from "./config.js";
import { decoderSource } from "./decoder-source.js";
import { CheckpointError } from "./errors.js";
import { Fields } from "./fields.js";
import { checkpointFiles, MODEL_FILE } from "./files-node.js";
import { ggufConfig } from "./gguf-config.js";
import { isTorchFile } from "./torch-files.js";
import { NO_DEFAULTS, parseGenerationConfig, type GenerationDefaults } from "./generation.js";

const CONFIG = "config.json";
/** The limit on the size of a configuration file. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The model's source: the folder's `model.mod`, or source generated from its `config.json` or from a GGUF file. Throws
 * CheckpointError, and WeightsError for a broken GGUF file.
 */
export function checkpointSource(folder: string): SourceFile {
  if (isGgufPath(folder)) return { file: folder, text: decoderSource(checkpointConfig(folder)) };
  const file = join(folder, MODEL_FILE);
  return existsSync(file)
    ? { file, text: readConfigText(file) }
    : { file, text: decoderSource(checkpointConfig(folder)) };
}

/** Parses the `config.json` of a folder, or a GGUF file's keys. Throws as `checkpointSource` does. */
export function checkpointConfig(folder: string): DecoderConfig {
  if (isGgufPath(folder)) return ggufConfig(openHeader(folder), (tensor) => readSmallTensor(folder, tensor));
  const file = join(folder, CONFIG);
  if (existsSync(file)) return parseConfig(readConfigText(file), file);
  throw new CheckpointError("bad-folder", `${folder} is a folder without ${CONFIG} or ${MODEL_FILE}`, {
    hint: hintFor(folder),
  });
}

/** The hint for a folder that holds a part of a model or another model file: how to open that. */
function hintFor(folder: string): string {
  const names = readdirSync(folder).toSorted((a, b) => (a < b ? -1 : 1));
  const model = names.find((name) => /\.(?:gguf|mod)$/i.test(name));
  if (model !== undefined) return `name the file: ${join(folder, escapedName(model))}`;
  if (names.includes("adapter_config.json"))
    return "it holds an adapter, not a model: merge it into its base by peft's merge_and_unload, and give that folder";
  if (names.some((name) => name.endsWith(".safetensors") || isTorchFile(name)))
    return `it holds weights: download the model's ${CONFIG} to the same folder`;
  return "give a .mod file, a checkpoint's folder as Hugging Face stores it, or a GGUF file";
}

/** The tokenizer, chat template and generation defaults of a checkpoint. */
export interface CheckpointText {
  /** The tokenizer; null if the folder has no `tokenizer.json`, or the GGUF file no tokenizer. */
  readonly tokenizer: Tokenizer | null;
  /** The chat template; null if there is none. */
  readonly chat: ChatTemplate | null;
  /** Information about the tokenizer; null if there is none. */
  readonly info: TokenizerInfo | null;
  /**
   * Generation defaults. The tokens that end a sequence come from `generation_config.json`, else from `config.json`,
   * else from the tokenizer.
   */
  readonly generation: GenerationDefaults;
}

/** Opens the text files of a checkpoint. Throws CheckpointError and TokenizerError. */
export async function checkpointText(folder: string): Promise<CheckpointText> {
  if (isGgufPath(folder)) {
    const opened = await openGgufTokenizer(folder);
    const { tokenizer, chat, info, ends } = opened ?? { tokenizer: null, chat: null, info: null, ends: [] };
    return { tokenizer, chat, info, generation: { ...NO_DEFAULTS, ends } };
  }
  const files = checkpointFiles(folder);
  const opened = files.tokenizer === null ? null : await openTokenizer(files.tokenizer);
  const config = join(folder, CONFIG);
  const vocabulary = opened && Math.max(opened.tokenizer.vocabulary, existsSync(config) ? vocabularyOf(config) : 0);
  const read = (file: string): GenerationDefaults => parseGenerationConfig(readConfigText(file), file, vocabulary);
  const generationDefaults = files.generationConfig === null ? NO_DEFAULTS : read(files.generationConfig);
  const ends = generationDefaults.ends.length > 0 || !existsSync(config) ? generationDefaults.ends : read(config).ends;
  return {
    tokenizer: opened?.tokenizer ?? null,
    chat: opened?.chat ?? null,
    info: opened?.info ?? null,
    generation: { ...generationDefaults, ends: ends.length > 0 ? ends : (opened?.ends ?? []) },
  };
}

/** The vocabulary size in a `config.json`, which may be larger than the tokenizer's; 0 if the file has none. */
const vocabularyOf = (file: string): number => Fields.parse(readConfigText(file), file).whole("vocab_size", 0) ?? 0;

/** Reads a small UTF-8 file, without its byte-order mark. Throws CheckpointError. */
export function readConfigText(path: string): string {
  const tooLarge = (size: number): CheckpointError =>
    new CheckpointError("bad-folder", `${path} has ${size} bytes: no ${basename(path)} is so large`);
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
