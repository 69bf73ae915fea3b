// The text part of a built package: its tokenizer's files and generation defaults.
import type { OpenedModel } from "../../../models/open.js";
import { expectText } from "./tokenizer-texts.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { say } from "../terminal/terminal.js";
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../../../generation/packaged/text.js";

export interface PackageText {
  readonly tokenizer: TokenizerTexts | null;
  readonly defaults: Defaults;
  /** Vocabulary of the tokenizer; 0 without one. */
  readonly vocabulary: number;
}

/**
 * The same as for a session with this model. `chatTemplate`: the template that the user chose. Throws TokenizerError
 * and CheckpointError for unreadable files.
 */
export async function packageText(model: OpenedModel, chatTemplate: string | undefined): Promise<PackageText> {
  if (model.tokenizer === null) {
    if (chatTemplate !== undefined)
      throw new UserError(
        "--chat-template: the package has no tokenizer",
        "give --tokenizer a tokenizer.json too",
        EXIT.usage,
      );
    return { tokenizer: null, defaults: NO_DEFAULTS, vocabulary: 0 };
  }
  const { tokenizer, files, chat, defaults } = await expectText(model);
  tokenizer.encode(""); // a page has no worker: throws for a tokenizer that needs one
  const { ends, maxTokens, sampling } = defaults;
  const stops = chatTemplate === undefined ? [] : (chat?.stops ?? []);
  if (stops.length > 0)
    say(
      `note: the tokenizer has no token ${stops.join(" or ")}, which ends answers in the template ` +
        `${chatTemplate!}: pass it to each call as a stop string`,
    );
  return {
    tokenizer: chatTemplate === undefined ? files : { ...files, template: chat!.text }, // the chosen one
    defaults: { ends, maxTokens, sampling },
    vocabulary: tokenizer.vocabulary,
  };
}
