// A tokenizer in a worker: answers one message after another. `scripts/bundle.mjs` writes the script, and
// `apart-node.ts` runs it.
import type { Answers, Asking, Opening } from "./apart.js";
import { chatTemplate, type ChatTemplate } from "./chat.js";
import { TokenizerError, type TokenizerErrorCode } from "./errors.js";
import { readTokenizer, type Tokenizer } from "./tokenizer.js";

export type ToWorker = { readonly kind: "open"; readonly opening: Opening } | Asking;

/** A result, or an error as an object that can be copied. */
export type FromWorker =
  | { readonly kind: "result"; readonly value: Answers[keyof Answers] | null }
  | {
      readonly kind: "error";
      readonly code: TokenizerErrorCode;
      readonly message: string;
      readonly hint: string | null;
      readonly file: string | null;
    }
  | { readonly kind: "bug"; readonly message: string };

let tokenizer: Tokenizer | null = null;
let chat: ChatTemplate | null = null;

/** Answers a message; never throws. */
export async function answer(message: ToWorker): Promise<FromWorker> {
  try {
    return { kind: "result", value: await resultOf(message) };
  } catch (fault) {
    if (fault instanceof TokenizerError)
      return { kind: "error", code: fault.code, message: fault.message, hint: fault.hint, file: fault.file };
    return { kind: "bug", message: fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault) };
  }
}

async function resultOf(message: ToWorker): Promise<Answers[keyof Answers] | null> {
  switch (message.kind) {
    case "open": {
      const { json, file, config, template } = message.opening;
      tokenizer = json === null ? null : await readTokenizer(json, file, config, "bounded");
      chat = template && chatTemplate(template.text, template.specials, template.file);
      return null;
    }
    case "encode":
      return tokenizer!.encode(message.text, { template: message.template });
    case "decode":
      return tokenizer!.decode(message.tokens, { special: message.special });
    case "prompt":
      return chat!.prompt(message.messages, message.options);
    default:
      return message satisfies never;
  }
}
