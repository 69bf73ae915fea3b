// Converts between text and tokens: one token per byte, or by a `tokenizer.json`.
import { parseDescription, type Description } from "./description.js";
import { TokenizerError } from "./errors.js";
import { byteReader } from "./token-bytes.js";

/** A tokenizer. */
export interface Tokenizer {
  /** The size of the vocabulary: one more than the largest token. */
  readonly vocabulary: number;
  /** Characters of the longest token, as the vocabulary writes it: a text of many more has many tokens. */
  readonly longest: number;
  /**
   * Encodes a text. The text of a special token becomes that token. With `template`, adds the tokens that the tokenizer
   * puts around a whole text, such as a beginning-of-text token. Throws TokenizerError for text that no token
   * represents.
   */
  encode(text: string, options?: { readonly template?: boolean }): readonly number[];
  /** Decodes tokens; omits special tokens unless `special` is set. Throws TokenizerError for an invalid token. */
  decode(tokens: readonly number[], options?: { readonly special?: boolean }): string;
  /** The token with this text; null if there is none. */
  idOf(text: string): number | null;
  isSpecial(token: number): boolean;
  /** The bytes of a token that need not be a whole character; null: it is the text that it decodes to. */
  bytesOf(token: number): readonly number[] | null;
}

/** A tokenizer with one token per UTF-8 byte, for models that read bytes. */
export const bytesTokenizer: Tokenizer = {
  vocabulary: 256,
  longest: 1,
  encode: (text) => [...new TextEncoder().encode(text)],
  decode(tokens) {
    const wrong = tokens.find((token) => !isToken(token, 256));
    if (wrong !== undefined) throw unknown(wrong, "a byte");
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(tokens));
  },
  idOf(text) {
    const [byte, ...more] = new TextEncoder().encode(text);
    return byte === undefined || more.length > 0 ? null : byte;
  },
  isSpecial: () => false,
  bytesOf: (token) => (isToken(token, 256) ? [token] : null),
};

/**
 * Creates the tokenizer of a Hugging Face `tokenizer.json`; `config` is the text of the `tokenizer_config.json` beside
 * it. Decoding never cleans up spaces, so that decoding an encoded text gives the same text. Throws TokenizerError for
 * a file that modc cannot read.
 */
export async function parseTokenizer(json: string, file: string, config: string | null = null): Promise<Tokenizer> {
  const { Tokenizer: Library } = await import("@huggingface/tokenizers");
  let library: InstanceType<typeof Library>;
  let readBytes: (written: string) => readonly number[] | null;
  try {
    const described = withUnknown(parseDescription(json, file));
    readBytes = byteReader(described);
    // For a WordLevel model the library takes the unknown token from the other file.
    library = new Library(described, { ...parseObject(config), unk_token: described.model["unk_token"] });
    library.encode("a"); // a part that lacks something fails now
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause;
    throw new TokenizerError("bad-tokenizer", `${file} is no tokenizer that modc can read: ${reasonOf(cause)}`, {
      cause,
    });
  }
  const ids = [...library.get_vocab().values()];
  const vocabulary = ids.reduce((a, b) => Math.max(a, b), -1) + 1;
  const read = (
    text: string,
    template: boolean,
  ): { readonly ids: readonly number[]; readonly tokens: readonly string[] } =>
    library.encode(text, { add_special_tokens: template });
  const added = library.get_added_tokens_decoder();
  const special = new Set([...added].flatMap(([id, token]) => (token.special ? [id] : [])));
  // The library's list has holes where no token has a number.
  const written: readonly (string | undefined)[] = [...library.get_vocab().keys()];
  const longest = written.reduce((most, token) => Math.max(most, token?.length ?? 0), 1);
  return {
    vocabulary,
    longest,
    encode(text, { template = false } = {}) {
      const { ids, tokens } = read(text, template);
      const at = firstUnrepresentable(ids);
      if (at < 0) return ids;
      const whole =
        tokens[at] === UNREPRESENTABLE
          ? [...new Set(text)].find((c) => firstUnrepresentable(read(c, false).ids) >= 0)
          : tokens[at];
      throw new TokenizerError(
        "bad-text",
        `${file} has no token for ${JSON.stringify(whole ?? text.slice(0, 40))}, nor one for what is unknown`,
        { file },
      );
    },
    decode(tokens, { special: withSpecial = false } = {}) {
      const wrong = tokens.find((token) => !isToken(token, vocabulary) || library.id_to_token(token) === undefined);
      if (wrong !== undefined) throw unknown(wrong, `a token of ${file}`, file);
      const shownTokens = withSpecial ? tokens : tokens.filter((token) => !special.has(token));
      return shownTokens.length === 0
        ? ""
        : library.decode([...shownTokens], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    },
    idOf: (text) => library.token_to_id(text) ?? null,
    isSpecial: (token) => special.has(token),
    bytesOf(token) {
      const written = added.has(token) ? undefined : library.id_to_token(token);
      return written === undefined ? null : readBytes(written);
    },
  };
}

/** A placeholder for text without a token, not in the vocabulary: the library would drop such characters silently. */
const UNREPRESENTABLE = "\u0000 unknown";
/** The library returns undefined if there is neither a token nor an unknown token. */
const firstUnrepresentable = (ids: readonly (number | undefined)[]): number => ids.indexOf(undefined);

/** The library fails over a part that lacks something. */
const reasonOf = (cause: unknown): string =>
  cause instanceof TypeError
    ? "its normalizer, pre_tokenizer, post_processor or decoder lacks something"
    : cause instanceof Error
      ? cause.message
      : String(cause);

function withUnknown({ model, ...parts }: Description): Description {
  const without = model["type"] === "BPE" && (model["unk_token"] ?? null) === null;
  return { ...parts, model: without ? { ...model, unk_token: UNREPRESENTABLE } : model };
}

function parseObject(text: string | null): object {
  if (text === null) return {};
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("its tokenizer_config.json is no JSON object");
  return value;
}

const isToken = (token: number, vocabulary: number): boolean =>
  Number.isInteger(token) && token >= 0 && token < vocabulary;
const unknown = (token: number, what: string, file: string | null = null): TokenizerError =>
  new TokenizerError("bad-token", `${token} is not ${what}`, { file });
