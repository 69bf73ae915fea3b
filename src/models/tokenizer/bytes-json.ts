// The byte tokenizer as a `tokenizer.json`, for software that only reads such files.
import { BYTE_OF } from "./token-bytes.js";

/** The text of a `tokenizer.json` whose tokens are the bytes of UTF-8: a byte-level vocabulary without merges. */
export const bytesTokenizerJson = (): string =>
  `${JSON.stringify({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(BYTE_OF),
      merges: [],
    },
  })}\n`;
