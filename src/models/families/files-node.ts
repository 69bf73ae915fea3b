// Finds the files of a checkpoint's folder: model, weights, tokenizer. Node only.
import { existsSync } from "node:fs";
import { join } from "node:path";

export const MODEL_FILE = "model.mod";
export const CONFIG_FILE = "config.json";
/** The files that Hugging Face's PEFT writes for adapters. */
export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
/** The list of modules that sentence-transformers writes. */
export const MODULES_FILE = "modules.json";
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

/** Whether a path is a folder with adapters, and without a model. */
export const isAdapter = (path: string): boolean =>
  existsSync(join(path, ADAPTER_CONFIG)) && ![CONFIG_FILE, MODEL_FILE].some((name) => existsSync(join(path, name)));

export const isTorchFile = (name: string): boolean => /\.(?:bin|pth?|ckpt)$/i.test(name);

/** The hint that explains how to convert a PyTorch file to safetensors. */
export const torchHint = (file: string): string =>
  "store its weights as safetensors, which hold no code, in a folder with config.json: in Python, " +
  `safetensors.torch.save_file(torch.load("${file.split(/[/\\]/).at(-1)!}", weights_only=True), "model.safetensors")`;
