// Which files of a checkpoint's folder say what the model is, hold its weights, and read its text. Node only.
import { existsSync } from "node:fs";
import { join } from "node:path";

export const MODEL_FILE = "model.mod";
export const CONFIG_FILE = "config.json";
const WEIGHTS = ["model.safetensors.index.json", "model.safetensors"];

/** Files of a folder by what they are for; null where it has none. */
export interface CheckpointFiles {
  /** What the model's text is called in messages, whether it is there or written from the configuration. */
  readonly model: string;
  /** The folder itself where it holds weights. */
  readonly weights: string | null;
  readonly tokenizer: string | null;
  readonly tokenizerConfig: string | null;
  readonly chatTemplate: string | null;
  readonly generationConfig: string | null;
}

/** What a folder holds, without reading any of it. */
export function checkpointFiles(folder: string): CheckpointFiles {
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
