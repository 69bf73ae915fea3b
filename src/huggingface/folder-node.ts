// Opens the model of a checkpoint's folder: its own source, or one generated from its configuration. Node only.
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, reasonOf } from "../base/errno.js";
import { readRegular } from "../runtime/regular-node.js";
import type { SourceFile } from "../diagnostics/span.js";
import type { ChatTemplate } from "../tokenizer/chat.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { openTokenizer } from "../tokenizer/tokenizer-node.js";
import { parseConfig, type DecoderConfig } from "./config.js";
import { decoderSource } from "./decoder-source.js";
import { CheckpointError } from "./errors.js";
import { checkpointFiles, MODEL_FILE } from "./files-node.js";
import { NO_DEFAULTS, parseGenerationConfig, type GenerationDefaults } from "./generation.js";

const CONFIG = "config.json";
/** The limit on the size of a configuration file. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The model's source: the folder's `model.mod`, or one generated from its `config.json`. Throws CheckpointError. */
export function checkpointSource(folder: string): SourceFile {
  const file = join(folder, MODEL_FILE);
  return existsSync(file)
    ? { file, text: readConfigText(file) }
    : { file, text: decoderSource(checkpointConfig(folder)) };
}

/** Parses the `config.json` of a folder. Throws CheckpointError. */
export function checkpointConfig(folder: string): DecoderConfig {
  const file = join(folder, CONFIG);
  if (existsSync(file)) return parseConfig(readConfigText(file), file);
  throw new CheckpointError("bad-folder", `${folder} is a folder without ${CONFIG} or ${MODEL_FILE}`, {
    hint: "give a .mod file, or a checkpoint's folder as Hugging Face stores it",
  });
}

/** The tokenizer, chat template and generation defaults of a folder. */
export interface CheckpointText {
  /** Null if the folder has no `tokenizer.json`. */
  readonly tokenizer: Tokenizer | null;
  /** Null if the folder has no template. */
  readonly chat: ChatTemplate | null;
  /**
   * Generation defaults. The tokens that end a text come from `generation_config.json`, else from `config.json`, else
   * from the tokenizer.
   */
  readonly generation: GenerationDefaults;
}

/** Opens the text files of a folder. Throws CheckpointError and TokenizerError. */
export async function checkpointText(folder: string): Promise<CheckpointText> {
  const files = checkpointFiles(folder);
  const opened = files.tokenizer === null ? null : await openTokenizer(files.tokenizer);
  const config = join(folder, CONFIG);
  const read = (file: string): GenerationDefaults => parseGenerationConfig(readConfigText(file), file);
  const generationDefaults = files.generationConfig === null ? NO_DEFAULTS : read(files.generationConfig);
  const ends = generationDefaults.ends.length > 0 || !existsSync(config) ? generationDefaults.ends : read(config).ends;
  const last = opened === null || opened.end === null ? [] : [opened.end];
  return {
    tokenizer: opened?.tokenizer ?? null,
    chat: opened?.chat ?? null,
    generation: { ...generationDefaults, ends: ends.length > 0 ? ends : last },
  };
}

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
