// Finds the files of a checkpoint, in a folder or in one GGUF file: model, weights, tokenizer. Node only.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isGgufPath } from "../../runtime/weights/gguf/header-node.js";
import { isFolder } from "../tokenizer/folder-node.js";

export const MODEL_FILE = "model.mod";
export const CONFIG_FILE = "config.json";
const WEIGHTS = ["model.safetensors.index.json", "model.safetensors"];

/** Whether a path names a checkpoint: a folder, or a GGUF file. */
export const isCheckpoint = (path: string): boolean => isGgufPath(path) || isFolder(path);

/** Files of a checkpoint by purpose; null for missing files. */
export interface CheckpointFiles {
  /**
   * The file name of the model's source in messages, whether the file exists or the source is generated from the
   * configuration.
   */
  readonly model: string;
  /** The folder if it contains weights, or the GGUF file. */
  readonly weights: string | null;
  readonly tokenizer: string | null;
  readonly tokenizerConfig: string | null;
  readonly chatTemplate: string | null;
  readonly generationConfig: string | null;
}

/** Finds the files of a checkpoint without reading any. */
export function checkpointFiles(folder: string): CheckpointFiles {
  if (isGgufPath(folder)) {
    const none = { tokenizerConfig: null, chatTemplate: null, generationConfig: null };
    return { model: folder, weights: folder, tokenizer: folder, ...none };
  }
  const found = (name: string): string | null => (existsSync(join(folder, name)) ? join(folder, name) : null);
  return {
    model: join(folder, MODEL_FILE),
    weights: WEIGHTS.some((name) => found(name) !== null) ? folder : null,
    tokenizer: found("tokenizer.json"),
    tokenizerConfig: found("tokenizer_config.json"),
    chatTemplate: found("chat_template.jinja"),
    generationConfig: found("generation_config.json"),
  };
}
