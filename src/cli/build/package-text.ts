// The text part of a built package: its tokenizer's files and generation defaults.
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../../packaged/text.js";

export interface PackageText {
  readonly tokenizer: TokenizerTexts | null;
  readonly defaults: Defaults;
  /** Vocabulary of the tokenizer; 0 without one. */
  readonly vocabulary: number;
}

/**
 * The same as for a session with this model and tokenizer. Throws TokenizerError and CheckpointError for unreadable
 * files.
 */
export async function packageText(model: string, tokenizer: string | undefined): Promise<PackageText> {
  if (tokenizer === undefined) return { tokenizer: null, defaults: NO_DEFAULTS, vocabulary: 0 };
  const { openTokenizer } = await import("../../tokenizer/tokenizer-node.js");
  const { sessionTexts } = await import("../../session/open-node.js");
  const { texts, tokenizer: opened } = await openTokenizer(tokenizer);
  opened.encode(""); // a page has no worker: throws for a tokenizer that needs one
  const { ends, maxTokens, sampling } = (await sessionTexts(model, tokenizer)).defaults;
  return { tokenizer: texts, defaults: { ends, maxTokens, sampling }, vocabulary: opened.vocabulary };
}
