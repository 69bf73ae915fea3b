// Converts between text and tokens: one token per byte, or by a `tokenizer.json`.
import type { Apart } from "./apart.js";
import { boundLibrary } from "./bounded-library.js";
import { Deadline } from "./deadline.js";
import { parseDescription, type Description } from "./description.js";
import { TokenizerError } from "./errors.js";
import { judge } from "./judge.js";
import { byteReader } from "./token-bytes.js";

export interface EncodeOptions {
  /** Whether to add the tokens that the tokenizer puts around a whole text, such as a beginning-of-text token. */
  readonly template?: boolean;
}

export interface EncodeAsyncOptions extends EncodeOptions {
  readonly signal?: AbortSignal;
  /** Whether nobody else waits for this thread, so that a worker is only worth its start if one is needed. */
  readonly alone?: boolean;
}

/** A tokenizer. */
export interface Tokenizer {
  /** The size of the vocabulary: one more than the largest token. */
  readonly vocabulary: number;
  /** Characters of the longest token in the vocabulary: a text of many more has many tokens. */
  readonly longest: number;
  /**
   * Encodes a text on this thread. The text of a special token becomes that token. Throws TokenizerError for text that
   * no token represents, after 2 s and 0.2 ms for each character, and at once if a part of the tokenizer may take time
   * without end.
   */
  encode(text: string, options?: EncodeOptions): readonly number[];
  /**
   * The same, for a thread that others wait for: a worker, if there is one, does work that may take more than about
   * 50 ms, or not end. Throws the reason of `signal` too.
   */
  encodeAsync(text: string, options?: EncodeAsyncOptions): Promise<readonly number[]>;
  /** Decodes tokens; omits special tokens unless `special` is set. Throws TokenizerError for an invalid token. */
  decode(tokens: readonly number[], options?: { readonly special?: boolean }): string;
  /** The same; many tokens are decoded in a worker, if there is one. */
  decodeAsync(
    tokens: readonly number[],
    options?: { readonly special?: boolean; readonly signal?: AbortSignal },
  ): Promise<string>;
  /** The token with this text; null if there is none. */
  idOf(text: string): number | null;
  isSpecial(token: number): boolean;
  /** The bytes of a token that need not be a whole character; null: the token decodes to whole characters. */
  bytesOf(token: number): readonly number[] | null;
}

const encodeBytes = (text: string): readonly number[] => [...new TextEncoder().encode(text)];

function decodeBytes(tokens: readonly number[]): string {
  const wrong = tokens.find((token) => !isToken(token, 256));
  if (wrong !== undefined) throw unknown(wrong, "a byte");
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(tokens));
}

/** A tokenizer with one token per UTF-8 byte, for models that read bytes. */
export const bytesTokenizer: Tokenizer = {
  vocabulary: 256,
  longest: 1,
  encode: encodeBytes,
  encodeAsync: async (text) => encodeBytes(text),
  decode: decodeBytes,
  decodeAsync: async (tokens) => decodeBytes(tokens),
  idOf(text) {
    const [byte, ...more] = new TextEncoder().encode(text);
    return byte === undefined || more.length > 0 ? null : byte;
  },
  isSpecial: () => false,
  bytesOf: (token) => (isToken(token, 256) ? [token] : null),
};

/**
 * Creates the tokenizer of a Hugging Face `tokenizer.json`; `config` is the text of the `tokenizer_config.json` in the
 * same folder. Decoding never cleans up spaces, so that decoding an encoded text gives the same text. Throws
 * TokenizerError for a file that modc cannot read, and for one with a part that may take time without end.
 */
export const parseTokenizer = (json: string, file: string, config: string | null = null): Promise<Tokenizer> =>
  readTokenizer(json, file, config, null);

/** More tokens, or tokens of more characters, are decoded in a worker. */
const MANY = { tokens: 4096, characters: 32_768 } as const;
/** Characters of a text that is encoded on a thread for which nobody else waits. */
const MANY_ALONE = 65_536;

/**
 * `apart`: runs what this thread may not wait for; "bounded": this is such a place, which is ended after a bound; null:
 * there is none.
 */
export async function readTokenizer(
  json: string,
  file: string,
  config: string | null,
  apart: Apart | "bounded" | null,
): Promise<Tokenizer> {
  const { Tokenizer: Library } = await import("@huggingface/tokenizers");
  const bounded = apart === "bounded";
  const worker = bounded ? null : apart;
  const deadline = new Deadline(file);
  let library: InstanceType<typeof Library>;
  let readBytes: (written: string) => readonly number[] | null;
  let doubt: string | null = null;
  let quick = 0;
  try {
    const described = withUnknown(parseDescription(json, file));
    ({ doubt, quick } = judge(described, longestOf(described)));
    if (bounded) doubt = null;
    if (doubt !== null && worker === null) throw endless(file, doubt, "openTokenizer runs it in a worker, in Node");
    readBytes = byteReader(described);
    // For a WordLevel model the library takes the unknown token from the other file.
    library = new Library(doubt === null ? described : decodingPart(described), {
      ...parseObject(config),
      // It takes the square of their number, and serves nothing here: added_tokens say which are special.
      additional_special_tokens: [],
      unk_token: described.model["unk_token"],
    });
    if (doubt === null) {
      boundLibrary(library, longestOf(described), deadline);
      library.encode("a"); // a part that lacks something fails now
    } else await worker!.ready();
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause;
    throw new TokenizerError("bad-tokenizer", `${file} is not a tokenizer that modc can read: ${reasonOf(cause)}`, {
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
  const encode: Tokenizer["encode"] = (text, { template = false } = {}) => {
    if (doubt !== null) throw endless(file, doubt, "encodeAsync runs it in a worker, in Node");
    deadline.start(text.length);
    const { ids, tokens } = convertingLength(file, text, () => read(text, template));
    const at = firstUnrepresentable(ids);
    if (at < 0) return ids;
    const whole =
      tokens[at] === UNREPRESENTABLE
        ? [...new Set(text)].find((c) => firstUnrepresentable(read(c, false).ids) >= 0)
        : tokens[at];
    throw new TokenizerError(
      "bad-text",
      `${file} has no token for ${JSON.stringify(whole ?? text.slice(0, 40))}, and no token for unknown text`,
      { file },
    );
  };
  const decode: Tokenizer["decode"] = (tokens, { special: withSpecial = false } = {}) => {
    const wrong = tokens.find((token) => !isToken(token, vocabulary) || library.id_to_token(token) === undefined);
    if (wrong !== undefined) throw unknown(wrong, `a token of ${file}`, file);
    const shownTokens = withSpecial ? tokens : tokens.filter((token) => !special.has(token));
    return shownTokens.length === 0
      ? ""
      : library.decode([...shownTokens], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  };
  const isShort = (tokens: readonly number[]): boolean => {
    let characters = 0;
    return (
      tokens.length <= MANY.tokens &&
      tokens.every((token) => (characters += library.id_to_token(token)?.length ?? 0) <= MANY.characters)
    );
  };
  return {
    vocabulary,
    longest,
    encode,
    async encodeAsync(text, { template = false, signal, alone = false } = {}) {
      signal?.throwIfAborted();
      if (worker === null || (doubt === null && (alone ? text.length <= MANY_ALONE : isQuick(text, quick))))
        return encode(text, { template });
      return worker.ask({ kind: "encode", text, template }, text.length, signal);
    },
    decode,
    async decodeAsync(tokens, { special: withSpecial = false, signal } = {}) {
      signal?.throwIfAborted();
      if (worker === null || isShort(tokens)) return decode(tokens, { special: withSpecial });
      return worker.ask({ kind: "decode", tokens, special: withSpecial }, tokens.length * longest, signal);
    },
    idOf: (text) => library.token_to_id(text) ?? null,
    isSpecial: (token) => special.has(token),
    bytesOf(token) {
      const written = added.has(token) ? undefined : library.id_to_token(token);
      return written === undefined ? null : readBytes(written);
    },
  };
}

const endless = (file: string, doubt: string, hint: string): TokenizerError =>
  new TokenizerError("too-slow", `${file} may never end: ${doubt}`, { file, hint });

/** Whether a text takes little time. Normal forms of rare characters are many times as long. */
const isQuick = (text: string, most: number): boolean => text.length <= most && text.normalize("NFKD").length <= most;

/** A tokenizer that decodes alone: the parts that encode are not made here. */
const decodingPart = (described: Description): Description => ({
  ...described,
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
});

/** Characters of the longest piece of a file. */
function longestOf({ model: { vocab }, added_tokens: added }: Description): number {
  const pieces: readonly unknown[] = Array.isArray(vocab) ? vocab.map(([piece]) => piece as unknown) : keysOf(vocab);
  const contents = Array.isArray(added) ? added.map(({ content }: { readonly content: unknown }) => content) : [];
  const all: readonly unknown[] = [...pieces, ...contents];
  return all.reduce<number>((most, piece) => Math.max(most, typeof piece === "string" ? piece.length : 0), 1);
}

const keysOf = (value: unknown): readonly string[] =>
  typeof value === "object" && value !== null ? Object.keys(value) : [];

/** The library fails for a text of which some list is longer than the stack, or some text longer than any may be. */
function convertingLength<T>(file: string, text: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new TokenizerError("bad-text", `${file} cannot encode ${text.length} characters at once`, {
      file,
      cause,
      hint: "encode the text in parts, such as its lines",
    });
  }
}

/** A placeholder for text without a token, not in the vocabulary: the library would drop such characters silently. */
const UNREPRESENTABLE = "\u0000 unknown";
/** The library returns undefined if there is neither a token nor an unknown token. */
const firstUnrepresentable = (ids: readonly (number | undefined)[]): number => ids.indexOf(undefined);

/** The library fails over a part that lacks something. */
const reasonOf = (cause: unknown): string =>
  cause instanceof TypeError
    ? "its normalizer, pre_tokenizer, post_processor or decoder is incomplete"
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
    throw new Error("its tokenizer_config.json is not a JSON object");
  return value;
}

const isToken = (token: number, vocabulary: number): boolean =>
  Number.isInteger(token) && token >= 0 && token < vocabulary;
const unknown = (token: number, what: string, file: string | null = null): TokenizerError =>
  new TokenizerError("bad-token", `${token} is not ${what}`, { file });
