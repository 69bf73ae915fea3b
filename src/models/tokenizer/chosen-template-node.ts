// The chat template that a user chooses: a known one by its name, or a file of Jinja text. Node only.
import { existsSync } from "node:fs";
import { Workers } from "./apart-node.js";
import { chatTemplate, type ChatTemplate } from "./chat.js";
import { TokenizerError } from "./errors.js";
import { KNOWN_TEMPLATES } from "./known-templates.js";
import { readText, type TokenizerInfo } from "./tokenizer-node.js";
import type { Tokenizer } from "./tokenizer.js";

export interface ChosenTemplate {
  readonly chat: ChatTemplate;
  /** The tokens that end an answer. */
  readonly ends: readonly number[];
}

/** The limit on the size of a template's file. */
const MAX_BYTES = 1024 * 1024;

const SPECIALS = ["bos_token", "eos_token", "pad_token"] as const;

/** Opens a template, given a name or a path, for a tokenizer with its special tokens. Throws TokenizerError. */
export function openChatTemplate(
  chosen: string,
  tokenizer: Pick<Tokenizer, "idOf">,
  info: TokenizerInfo | null,
): ChosenTemplate {
  const known = KNOWN_TEMPLATES.get(chosen);
  if (!known && !existsSync(chosen))
    throw new TokenizerError("bad-template", `there is no chat template ${chosen}: neither a file nor a known name`, {
      hint: `the names are ${[...KNOWN_TEMPLATES.keys()].join(", ")}`,
    });
  const { text, ends } = known ?? { text: readText(chosen, "chat template", MAX_BYTES), ends: [] };
  const specials = new Map(SPECIALS.flatMap((name) => (info?.[name] ? [[name, info[name]] as const] : [])));
  const ids = ends.map((end) => tokenizer.idOf(end));
  const apart = new Workers({ json: null, config: null, file: chosen, template: { text, specials, file: chosen } });
  return {
    chat: chatTemplate(text, specials, chosen, { stops: ends.filter((_, i) => ids[i] === null), apart }),
    ends: ids.filter((id) => id !== null),
  };
}
