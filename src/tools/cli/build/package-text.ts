// The text part of a built package: its tokenizer's files and generation defaults.
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
 * The same as for a session with this model, tokenizer and chat template. Throws TokenizerError and CheckpointError for
 * unreadable files.
 */
export async function packageText(
  model: string,
  tokenizer: string | undefined,
  chatTemplate: string | undefined,
): Promise<PackageText> {
  if (tokenizer === undefined) {
    if (chatTemplate !== undefined)
      throw new UserError(
        "--chat-template: the package has no tokenizer, by which texts of chats become tokens",
        "give --tokenizer a tokenizer.json too",
        EXIT.usage,
      );
    return { tokenizer: null, defaults: NO_DEFAULTS, vocabulary: 0 };
  }
  const { openTokenizer } = await import("../../../models/tokenizer/tokenizer-node.js");
  const { sessionTexts } = await import("../../session/open-node.js");
  const { texts, tokenizer: opened } = await openTokenizer(tokenizer);
  opened.encode(""); // a page has no worker: throws for a tokenizer that needs one
  const { chat, defaults } = await sessionTexts(model, tokenizer, chatTemplate);
  const { ends, maxTokens, sampling } = defaults;
  const stops = chatTemplate === undefined ? [] : (chat?.stops ?? []);
  if (stops.length > 0)
    say(
      `note: the tokenizer has no token ${stops.join(" or ")}, by which answers end in the template ` +
        `${chatTemplate!}: give it to each call as a stop string`,
    );
  return {
    tokenizer: chatTemplate === undefined ? texts : { ...texts, template: chat!.text }, // the chosen one
    defaults: { ends, maxTokens, sampling },
    vocabulary: opened.vocabulary,
  };
}
