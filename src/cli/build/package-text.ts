// What a built package takes along for texts: its tokenizer's files, and how it generates.
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../../packaged/text.js";

export interface PackageText {
  readonly tokenizer: TokenizerTexts | null;
  readonly defaults: Defaults;
  /** Of the tokenizer; 0 where there is none. */
  readonly vocabulary: number;
}

/**
 * As a session of the same model and tokenizer has them. Throws TokenizerError and CheckpointError for files that
 * cannot be read.
 */
export async function packageText(model: string, tokenizer: string | undefined): Promise<PackageText> {
  if (tokenizer === undefined) return { tokenizer: null, defaults: NO_DEFAULTS, vocabulary: 0 };
  const { openTokenizer } = await import("../../tokenizer/tokenizer-node.js");
  const { sessionTexts } = await import("../../session/open-node.js");
  const { texts, tokenizer: opened } = await openTokenizer(tokenizer);
  const { ends, maxTokens, sampling } = (await sessionTexts(model, tokenizer)).defaults;
  return { tokenizer: texts, defaults: { ends, maxTokens, sampling }, vocabulary: opened.vocabulary };
}
