// The parts of opened models that need the compiler or a tokenizer: a single module, so that bundles have few chunks.
// It is loaded when the first part is needed. Node only.
import { checkpointDefaults, checkpointConfig, checkpointSource } from "../families/folder-node.js";
import { NO_DEFAULTS } from "../families/generation.js";
import type { ModelTexts } from "./model.js";
import { openChatTemplate } from "../tokenizer/chosen-template-node.js";
import type { TokenizerSource } from "../tokenizer/source-node.js";
import { bytesTokenizer } from "../tokenizer/tokenizer.js";
import { join } from "node:path";
import { once } from "../../ground/base/once.js";
import { decoderSource } from "../families/source/decoder.js";
import { checkpointFiles, MODEL_FILE } from "../families/files-node.js";
import { ggufConfig } from "../families/gguf-config.js";
import type { GgufFiles } from "./gguf-files-node.js";
import type { Parts } from "./parts.js";
import { importsBeside, type SourceReader } from "./source-node.js";

export { adapterAt, openAdapter } from "./adapter-node.js";
export { joinBlocks } from "./block-weights-node.js";
export { blocksOf } from "./blocks.js";
export { explainWeights, explanation } from "./explain-weights.js";
export { declaredLive } from "./live.js";

/**
 * `folder`: the model's folder, whose defaults count; null for a model without one. `chatTemplate`: chosen in place of
 * the tokenizer's own. Throws CheckpointError and TokenizerError, and WeightsError for a broken GGUF file.
 */
export async function openTexts(
  folder: string | null,
  source: TokenizerSource | null,
  chatTemplate: string | undefined,
): Promise<ModelTexts> {
  const opened = source === null ? null : await source.open();
  const { tokenizer = null, info = null, texts: files = null } = opened ?? {};
  const ofFolder = folder === null ? NO_DEFAULTS : checkpointDefaults(folder, tokenizer?.vocabulary ?? null);
  const defaults = { ...ofFolder, ends: ofFolder.ends.length > 0 ? ofFolder.ends : (opened?.ends ?? []) };
  if (chatTemplate === undefined) return { tokenizer, chat: opened?.chat ?? null, info, files, defaults };
  const { chat, ends } = openChatTemplate(chatTemplate, tokenizer ?? bytesTokenizer, info);
  const { bos_token = null, eos_token = null, pad_token = null } = info ?? {};
  return {
    tokenizer,
    chat,
    info: { bos_token, eos_token, pad_token, chat_template: chat.text },
    files,
    defaults: { ...defaults, ends: [...new Set([...defaults.ends, ...ends])] },
  };
}

export async function openGgufFile(path: string, { imported }: SourceReader, ggufs: GgufFiles): Promise<Parts> {
  const { header, readSmall } = await ggufs.at(path);
  const config = once(() => ggufConfig(header, readSmall));
  return {
    path,
    file: path,
    source: () => ({ file: path, text: decoderSource(config()) }),
    read: importsBeside(path, imported),
    run: null,
    describe: config,
    folder: null,
    weights: path,
    tokenizer: () => path,
  };
}

export async function openFolder(path: string, { imported }: SourceReader): Promise<Parts> {
  const file = join(path, MODEL_FILE);
  const { weights, tokenizer } = checkpointFiles(path);
  return {
    path,
    file,
    source: () => checkpointSource(path),
    read: importsBeside(file, imported),
    run: null,
    describe: () => checkpointConfig(path),
    folder: path,
    weights,
    tokenizer: () => tokenizer,
  };
}
