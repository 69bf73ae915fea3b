// Finds the files of a checkpoint's folder: model, weights, tokenizer. Node only.
import { existsSync } from "node:fs";
import { join } from "node:path";

export const MODEL_FILE = "model.mod";
export const CONFIG_FILE = "config.json";
const WEIGHTS = ["model.safetensors.index.json", "model.safetensors"];

/** Files of a checkpoint by purpose; null for missing ones. */
export interface CheckpointFiles {
  /** The folder if it contains weights. */
  readonly weights: string | null;
  readonly tokenizer: string | null;
  readonly tokenizerConfig: string | null;
  readonly chatTemplate: string | null;
  readonly generationConfig: string | null;
}

/** Finds the files of a checkpoint without reading any. */
export function checkpointFiles(folder: string): CheckpointFiles {
  const found = (name: string): string | null => (existsSync(join(folder, name)) ? join(folder, name) : null);
  return {
    weights: WEIGHTS.some((name) => found(name) !== null) ? folder : null,
    tokenizer: found("tokenizer.json"),
    tokenizerConfig: found("tokenizer_config.json"),
    chatTemplate: found("chat_template.jinja"),
    generationConfig: found("generation_config.json"),
  };
}
