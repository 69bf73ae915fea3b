// The bytes of single tokens, which need not be whole characters.
/** The parts of a `tokenizer.json` that say how tokens are written. */
interface Described {
  readonly decoder?: unknown;
}

/** Types of the decoder, and of all decoders in a sequence. */
function decoderTypes(decoder: unknown): ReadonlySet<unknown> {
  if (typeof decoder !== "object" || decoder === null) return new Set();
  const parts: readonly unknown[] = "decoders" in decoder && Array.isArray(decoder.decoders) ? decoder.decoders : [];
  const outer = "type" in decoder ? [decoder.type] : [];
  return new Set([...outer, ...parts.flatMap((part) => [...decoderTypes(part)])]);
}

/** The byte that each character stands for in a byte-level vocabulary (GPT-2's `bytes_to_unicode`). */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const shown = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let others = 0;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(shown(byte) ? byte : 256 + others++), byte]),
  );
})();

/**
 * Reads the bytes of a token as the vocabulary writes it; null if the vocabulary has text there, which decoders may
 * change: the caller then decodes it.
 */
export function byteReader({ decoder }: Described): (written: string) => readonly number[] | null {
  const types = decoderTypes(decoder);
  if (types.has("ByteLevel"))
    return (written) => {
      const bytes = Array.from(written, (character) => BYTE_OF.get(character));
      return bytes.every((byte) => byte !== undefined) ? bytes : null;
    };
  if (types.has("ByteFallback"))
    return (written) => {
      const byte = /^<0x([0-9a-f]{2})>$/i.exec(written)?.[1];
      return byte === undefined ? null : [Number.parseInt(byte, 16)];
    };
  return () => null;
}

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
