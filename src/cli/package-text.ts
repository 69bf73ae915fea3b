// What a built package takes along of a checkpoint's folder for texts: its tokenizer's files, and how it generates.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../packaged/text.js";
import { readText } from "./files.js";
import { folderOf } from "./model-file.js";

export interface PackageText {
  readonly tokenizer: TokenizerTexts | null;
  readonly defaults: Defaults;
}

/** `model`: a file, or a checkpoint's folder. `tokenizer`: a `tokenizer.json`, or a folder with one; undefined: none. Throws TokenizerError and CheckpointError for files that cannot be read. */
export async function packageText(model: string, tokenizer: string | undefined): Promise<PackageText> {
  if (tokenizer === undefined) return { tokenizer: null, defaults: NO_DEFAULTS };
  const { openTokenizer } = await import("../tokenizer/tokenizer-node.js");
  const opened = await openTokenizer(tokenizer); // what cannot be read is told now
  const folder = folderOf(tokenizer) === null ? dirname(tokenizer) : tokenizer;
  const text = (name: string): string | null => (existsSync(join(folder, name)) ? readText(join(folder, name)) : null);
  const texts: TokenizerTexts = {
    tokenizer: readText(folder === tokenizer ? join(folder, "tokenizer.json") : tokenizer),
    config: text("tokenizer_config.json"),
    template: text("chat_template.jinja"),
  };
  if (folderOf(model) === null) return { tokenizer: texts, defaults: { ...NO_DEFAULTS, ends: opened.end === null ? [] : [opened.end] } };
  const { generation } = await (await import("../huggingface/folder-node.js")).checkpointText(model);
  const { ends, maxTokens, sampling } = generation;
  return { tokenizer: texts, defaults: { ends, maxTokens, sampling } };
}
