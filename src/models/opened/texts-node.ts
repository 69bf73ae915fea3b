// The tokenizer, the chat template and the defaults of generation of an opened model. Node only.
import { checkpointDefaults } from "../families/folder-node.js";
import { NO_DEFAULTS } from "../families/generation.js";
import type { ModelTexts } from "../open.js";
import { openChatTemplate } from "../tokenizer/chosen-template-node.js";
import type { TokenizerSource } from "../tokenizer/source-node.js";
import { bytesTokenizer } from "../tokenizer/tokenizer.js";

/**
 * `folder`: that of the model, whose defaults count; null for a model without one. `chatTemplate`: chosen in place of
 * the tokenizer's own. Throws CheckpointError and TokenizerError, and WeightsError for a broken GGUF file.
 */
export async function openTexts(
  folder: string | null,
  source: TokenizerSource | null,
  chatTemplate: string | undefined,
): Promise<ModelTexts> {
  const opened = source === null ? null : await source.open();
  const { tokenizer = null, info = null, texts: files = null } = opened ?? {};
  const own = folder === null ? NO_DEFAULTS : checkpointDefaults(folder, tokenizer?.vocabulary ?? null);
  const defaults = { ...own, ends: own.ends.length > 0 ? own.ends : (opened?.ends ?? []) };
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
