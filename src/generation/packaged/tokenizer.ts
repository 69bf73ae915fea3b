// The tokenizer and chat template of a built package: a separate part of the runtime, for packages that have a
// tokenizer.
import { chatTemplate, parseChatConfig } from "../../models/tokenizer/chat.js";
import { decoderAfter } from "../../models/tokenizer/text-stream.js";
import { parseTokenizer } from "../../models/tokenizer/tokenizer.js";
import { TOKENIZER_FILES } from "./manifest.js";
import type { ModelText, TokenizerTexts } from "./text.js";
export { TokenizerError } from "../../models/tokenizer/errors.js";

/** Reads the tokenizer's files; throws TokenizerError where they are invalid. */
export async function readText({ tokenizer: json, config, template }: TokenizerTexts): Promise<ModelText> {
  const tokenizer = await parseTokenizer(json, TOKENIZER_FILES.tokenizer, config);
  const read = config === null ? null : parseChatConfig(config, TOKENIZER_FILES.config);
  const text = template ?? read?.template ?? null;
  const chat =
    text === null
      ? null
      : chatTemplate(
          text,
          read?.specials ?? new Map(),
          template === null ? TOKENIZER_FILES.config : TOKENIZER_FILES.template,
        );
  return {
    encode: (prompt) => tokenizer.encode(prompt, { template: true }),
    decoder: (prompt) => decoderAfter(tokenizer, prompt),
    // The template adds the special tokens itself.
    chat: chat && ((messages) => tokenizer.encode(chat.prompt(messages))),
  };
}
