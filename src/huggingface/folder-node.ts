// The model of a checkpoint's folder: its own text, or what its configuration describes. Node only.
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { SourceFile } from "../diagnostics/span.js";
import { parseConfig, type DecoderConfig } from "./config.js";
import { decoderSource } from "./decoder-source.js";
import { CheckpointError } from "./errors.js";
import { MODEL_FILE } from "./files-node.js";

const CONFIG = "config.json";
/** Beyond any configuration a person or a program wrote. */
const MOST_BYTES = 16 * 1024 * 1024;

/** The model of a folder: its own `model.mod`, or what its `config.json` describes. Throws CheckpointError. */
export function checkpointSource(folder: string): SourceFile {
  const file = join(folder, MODEL_FILE);
  return existsSync(file) ? { file, text: readConfigText(file) } : { file, text: decoderSource(checkpointConfig(folder)) };
}

/** What the `config.json` of a folder describes. Throws CheckpointError. */
export function checkpointConfig(folder: string): DecoderConfig {
  const file = join(folder, CONFIG);
  if (existsSync(file)) return parseConfig(readConfigText(file), file);
  throw new CheckpointError("bad-folder", `${folder} is a folder without ${CONFIG} or ${MODEL_FILE}`, {
    hint: "give a .mod file, or a checkpoint's folder as Hugging Face stores it",
  });
}

/** Text of a small file in UTF-8, without a byte-order mark. Throws CheckpointError. */
export function readConfigText(path: string): string {
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new CheckpointError("bad-folder", `${path} has ${size} bytes: no ${basename(path)} is so large`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new CheckpointError("bad-folder", `${path} is not UTF-8 text`, { cause });
  }
}
