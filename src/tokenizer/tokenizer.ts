// Between text and tokens: bytes as they are, or what a `tokenizer.json` describes.
import { TokenizerError } from "./errors.js";

/** A vocabulary, and how it is applied. */
export interface Tokenizer {
  /** One more than the largest token. */
  readonly vocabulary: number;
  /**
   * Tokens of a text. What is written as a special token becomes one. With `template`, what the tokenizer puts around a
   * whole text (a token for its beginning, say) is added. Throws TokenizerError for what no token stands for.
   */
  encode(text: string, options?: { readonly template?: boolean }): readonly number[];
  /**
   * The text of tokens, special ones left out unless they are asked for. Throws TokenizerError for what is no token.
   */
  decode(tokens: readonly number[], options?: { readonly special?: boolean }): string;
  /** The token that is written so; null where there is none. */
  idOf(text: string): number | null;
  isSpecial(token: number): boolean;
}

/** Each byte of UTF-8 is a token, as for models that read bytes. */
export const bytesTokenizer: Tokenizer = {
  vocabulary: 256,
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
};

/**
 * The tokenizer that a `tokenizer.json` describes, as Hugging Face writes it; `config` is the text of the
 * `tokenizer_config.json` beside it. Decoding never cleans up spaces, so that text comes back as it was. Throws
 * TokenizerError where modc cannot read it.
 */
export async function parseTokenizer(json: string, file: string, config: string | null = null): Promise<Tokenizer> {
  const { Tokenizer: Library } = await import("@huggingface/tokenizers");
  let library: InstanceType<typeof Library>;
  try {
    const described = complete(JSON.parse(json));
    // Of a WordLevel model the library takes the token for what is unknown from the other file.
    library = new Library(described, { ...parseObject(config), unk_token: described.model.unk_token });
    if (library.get_vocab().size === 0) throw new Error("it has no tokens");
  } catch (cause) {
    throw new TokenizerError(
      "bad-tokenizer",
      `${file} is no tokenizer that modc can read: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
  }
  const ids = [...library.get_vocab().values()];
  const vocabulary = ids.reduce((a, b) => Math.max(a, b), -1) + 1;
  const read = (
    text: string,
    template: boolean,
  ): { readonly ids: readonly number[]; readonly tokens: readonly string[] } =>
    library.encode(text, { add_special_tokens: template });
  const special = new Set(
    [...library.get_added_tokens_decoder()].flatMap(([id, token]) => (token.special ? [id] : [])),
  );
  return {
    vocabulary,
    encode(text, { template = false } = {}) {
      const { ids, tokens } = read(text, template);
      const at = holeIn(ids);
      if (at < 0) return ids;
      const whole = tokens[at] === HOLE ? [...new Set(text)].find((c) => holeIn(read(c, false).ids) >= 0) : tokens[at];
      throw new TokenizerError(
        "bad-text",
        `${file} has no token for ${JSON.stringify(whole ?? text.slice(0, 40))}, nor one for what is unknown`,
      );
    },
    decode(tokens, { special: withSpecial = false } = {}) {
      const wrong = tokens.find((token) => !isToken(token, vocabulary) || library.id_to_token(token) === undefined);
      if (wrong !== undefined) throw unknown(wrong, `a token of ${file}`);
      const kept = withSpecial ? tokens : tokens.filter((token) => !special.has(token));
      return kept.length === 0
        ? ""
        : library.decode([...kept], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    },
    idOf: (text) => library.token_to_id(text) ?? null,
    isSpecial: (token) => special.has(token),
  };
}

const MODELS = new Set<unknown>(["BPE", "Unigram", "WordLevel", "WordPiece", undefined]);

/**
 * Stands for what a vocabulary has no token for, and is none of it: the library would leave such characters out, and
 * say nothing.
 */
const HOLE = "\u0000 unknown";
/** The library gives no number where there is neither a token nor one for what is unknown. */
const holeIn = (ids: readonly (number | undefined)[]): number => ids.indexOf(undefined);

/** With the fields that may be left out, which the library asks for. */
function complete(
  read: unknown,
): Readonly<Record<string, unknown>> & { readonly model: { readonly unk_token?: unknown } } {
  if (typeof read !== "object" || read === null || !("model" in read)) throw new Error("it has no model");
  const { model } = read;
  if (typeof model !== "object" || model === null) throw new Error("its model is no object");
  const type = "type" in model ? model.type : undefined;
  if (!MODELS.has(type)) throw new Error(`its model is of an unknown type, ${JSON.stringify(type)}`);
  const known = "unk_token" in model && model.unk_token !== null;
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...read,
    model: type === "BPE" && !known ? { ...model, unk_token: HOLE } : model,
  };
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
const unknown = (token: number, what: string): TokenizerError =>
  new TokenizerError("bad-token", `${token} is not ${what}`);
