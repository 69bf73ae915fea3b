// Converts a GGUF file's tokenizer to Hugging Face's files, so that one parser reads both: of the kinds `llama` (scores
// of pieces, bytes for what has none) and `gpt2` (merges of bytes).
import { quotedName } from "../../ground/base/shown.js";
import type { GgufHeader } from "../../runtime/weights/gguf/header.js";
import { TokenizerKeys } from "./gguf-keys.js";

/** The files of a tokenizer, as texts, and the tokens that end a text. */
export interface GgufTokenizer {
  readonly tokenizer: string;
  /** With the chat template. */
  readonly config: string;
  readonly ends: readonly number[];
}

/** The hint for a tokenizer that modc does not read. */
const INSTEAD = "give the tokenizer.json of the model with --tokenizer";

/** Kinds of tokens, by their numbers in a file. */
const KIND = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

/** Tokens of kind `control` that end a text or a turn: the keys of a GGUF file name only a single one. */
const ENDS: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end_of_text|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<|end|>",
  "<end_of_turn>",
  "</s>",
]);

/** Keys that are read here, and a key for other kinds of tokenizers. Keys of special tokens end with `_id`. */
const KNOWN: ReadonlySet<string> = new Set([
  "model",
  "pre",
  "tokens",
  "scores",
  "merges",
  "token_type",
  "token_type_count",
  "add_bos_token",
  "add_eos_token",
  "add_sep_token",
  "add_space_prefix",
  "remove_extra_whitespaces",
]);

/** A vocabulary: each token's text and kind. */
interface Vocabulary {
  readonly keys: TokenizerKeys;
  readonly tokens: readonly string[];
  readonly kinds: ArrayLike<number> | null;
  readonly ids: ReadonlyMap<string, number>;
}

/** How a kind of tokenizer cuts and merges text, as parts of a `tokenizer.json`. */
interface Parts {
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly decoder: object;
  readonly model: object;
  /** Whether a text begins with the begin token, if the file does not specify this. */
  readonly begins: boolean;
}

/** The tokenizer of a file; null if it has none. Throws TokenizerError for one that modc cannot read. */
export function ggufTokenizer(header: GgufHeader): GgufTokenizer | null {
  const keys = new TokenizerKeys(header);
  const model = keys.text("model");
  if (model === null || model === "none") return null;
  if (model !== "llama" && model !== "gpt2") return keys.refuse("model", "modc reads llama and gpt2", INSTEAD);
  const unknown = keys.names.find((name) => !KNOWN.has(name) && !name.endsWith("_id"));
  if (unknown !== undefined) keys.refuse(unknown, "modc does not know this key");
  const vocabulary = vocabularyOf(keys);
  const parts = model === "llama" ? ofPieces(vocabulary) : ofBytes(vocabulary);
  const [begin, end] = [named(vocabulary, "bos", parts.begins), named(vocabulary, "eos", false)];
  if (keys.flag("add_sep_token") === true) keys.refuse("add_sep_token", "the tokenizers that modc reads do not add it");
  const { begins: _, ...own } = parts;
  const template = header.metadata.get("tokenizer.chat_template") ?? null;
  if (template !== null && typeof template !== "string") keys.fail("tokenizer.chat_template is not text");
  const tokenOf = (name: string): string | undefined => {
    const id = keys.token(`${name}_token_id`, vocabulary.tokens.length);
    return id === null ? undefined : vocabulary.tokens[id];
  };
  return {
    tokenizer: JSON.stringify({
      version: "1.0",
      added_tokens: addedTokens(vocabulary),
      ...own,
      post_processor: around(begin.added, end.added),
    }),
    config: JSON.stringify({
      bos_token: tokenOf("bos"),
      eos_token: tokenOf("eos"),
      unk_token: tokenOf("unknown"),
      pad_token: tokenOf("padding"),
      ...(template === null ? {} : { chat_template: template }),
    }),
    ends: endsOf(vocabulary),
  };
}

function vocabularyOf(keys: TokenizerKeys): Vocabulary {
  const listed = keys.texts("tokens") ?? keys.refuse("tokens", "a tokenizer needs tokens");
  if (listed.length === 0) keys.fail("tokenizer.ggml.tokens is empty");
  const tokens = listed.map((token, id) => (token === "" ? `[EMPTY_${id}]` : token));
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token);
    if (other !== undefined) keys.fail(`tokens ${other} and ${id} are both ${quotedName(token)}`);
    ids.set(token, id);
  }
  return { keys, tokens, ids, kinds: keys.numbers("token_type", tokens.length) };
}

const kindOf = ({ kinds }: Vocabulary, id: number): number => kinds?.[id] ?? KIND.normal;

/** Tokens that are found in a text before it is split; tokens of kind `control` are special. */
function addedTokens(vocabulary: Vocabulary): readonly object[] {
  return vocabulary.tokens.flatMap((content, id) => {
    const kind = kindOf(vocabulary, id);
    if (kind !== KIND.control && kind !== KIND.unknown && kind !== KIND.user) return [];
    const special = kind !== KIND.user;
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

/** A token at an edge of a text; `added`: whether the tokenizer puts it there. */
function named(
  { keys, tokens }: Vocabulary,
  name: "bos" | "eos",
  usual: boolean,
): { readonly added: { readonly id: number; readonly text: string } | null } {
  const id = keys.token(`${name}_token_id`, tokens.length);
  const adds = keys.flag(`add_${name}_token`) ?? usual;
  if (!adds) return { added: null };
  if (id === null) return keys.refuse(`${name}_token_id`, "the tokenizer adds this token");
  return { added: { id, text: tokens[id]! } };
}

type Edge = { readonly id: number; readonly text: string } | null;

function around(begin: Edge, end: Edge): object | null {
  if (begin === null && end === null) return null;
  const token = (edge: Edge): readonly object[] =>
    edge === null ? [] : [{ SpecialToken: { id: edge.text, type_id: 0 } }];
  const sequence = (id: string): readonly object[] => [
    ...token(begin),
    { Sequence: { id, type_id: 0 } },
    ...token(end),
  ];
  return {
    type: "TemplateProcessing",
    single: sequence("A"),
    pair: [...sequence("A"), ...sequence("B")],
    special_tokens: Object.fromEntries(
      [begin, end].flatMap((edge) =>
        edge === null ? [] : [[edge.text, { id: edge.text, ids: [edge.id], tokens: [edge.text] }]],
      ),
    ),
  };
}

/**
 * For kind `llama`: pieces of text, with ▁ for a space. Two pieces merge if their concatenation has the highest score.
 */
function ofPieces(vocabulary: Vocabulary): Parts {
  const { keys, tokens, ids } = vocabulary;
  const scores =
    keys.numbers("scores", tokens.length) ?? keys.refuse("scores", "tokenizers of the kind llama need them");
  const unknown = keys.token("unknown_token_id", tokens.length);
  const prefixed = keys.flag("add_space_prefix") ?? true;
  const spaces = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const merged = (id: number): boolean => [KIND.normal, KIND.unused].some((kind) => kind === kindOf(vocabulary, id));
  return {
    normalizer: prefixed ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, spaces] } : spaces,
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefixed ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      unk_token: unknown === null ? null : tokens[unknown]!,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(ids),
      merges: mergesByScore({ keys, tokens, ids, scores, merged }),
    },
    begins: true,
  };
}

/** Bytes, each written as a character, merged in the order of a list within the words of a text. */
function ofBytes({ keys, ids }: Vocabulary): Parts {
  const name = keys.text("pre") ?? UNSAID;
  const splitting =
    splittings.get(name) ?? keys.refuse("pre", `modc knows ${[...splittings.keys()].join(", ")}`, INSTEAD);
  const merges = keys.texts("merges") ?? keys.refuse("merges", "tokenizers of the kind gpt2 need them");
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        ...splitting.patterns.map((Regex) => ({
          type: "Split",
          pattern: { Regex },
          behavior: "Isolated",
          invert: false,
        })),
        bytes,
      ],
    },
    decoder: bytes,
    model: {
      type: "BPE",
      unk_token: null,
      byte_fallback: false,
      ignore_merges: splitting.whole,
      vocab: Object.fromEntries(ids),
      merges: merges.map((merge, i) => {
        const space = merge.indexOf(" ", 1); // a piece may itself be a space
        if (space < 0)
          return keys.fail(`merge ${i} of tokenizer.ggml.merges, ${quotedName(merge)}, does not have two parts`);
        return [merge.slice(0, space), merge.slice(space + 1)];
      }),
    },
    begins: splitting.begins,
  };
}

function endsOf(vocabulary: Vocabulary): readonly number[] {
  const { keys, tokens, ids } = vocabulary;
  const said = ["eos", "eot", "eom"].flatMap((name) => keys.token(`${name}_token_id`, tokens.length) ?? []);
  const usual = [...ENDS].flatMap((text) => {
    const id = ids.get(text);
    return id !== undefined && kindOf(vocabulary, id) === KIND.control ? [id] : [];
  });
  return [...new Set([...said, ...usual])];
}

interface Scored {
  readonly keys: TokenizerKeys;
  readonly tokens: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  readonly scores: ArrayLike<number>;
  /** Whether a token may come of a merge. */
  readonly merged: (id: number) => boolean;
}

/**
 * The limit on the sum of the squared lengths of tokens, which bounds the work: large vocabularies take a tenth of it.
 */
const MOST_WORK = 3e8;

/**
 * SentencePiece merges the two neighbours whose whole has the highest score, the first in the text among equals. Here
 * each pair of parts is a merge, ordered by the score of the whole, the longest first part first. Parts are tokens, or
 * single characters. Throws TokenizerError where two wholes have the same score, since a list cannot say of those that
 * the first in the text comes first.
 */
function mergesByScore({ keys, tokens, ids, scores, merged }: Scored): readonly (readonly [string, string])[] {
  const wholes: {
    readonly score: number;
    readonly whole: string;
    readonly pairs: readonly (readonly [string, string])[];
  }[] = [];
  const work = tokens.reduce((sum, { length }) => sum + length ** 2, 0);
  if (work > MOST_WORK) keys.fail("tokenizer.ggml.tokens are longer than merged tokens can be");
  for (const [id, whole] of tokens.entries()) {
    if (!merged(id)) continue;
    const score = scores[id]!;
    if (!Number.isFinite(score)) keys.fail(`the score of token ${id}, ${quotedName(whole)}, is ${score}`);
    const pairs = partsOf(whole, ids);
    if (pairs.length > 0) wholes.push({ score, whole, pairs });
  }
  wholes.sort((a, b) => b.score - a.score);
  for (const [i, { score, whole }] of wholes.entries())
    if (i > 0 && wholes[i - 1]!.score === score)
      keys.fail(
        `tokens ${quotedName(wholes[i - 1]!.whole)} and ${quotedName(whole)} have the same score, ${score}`,
        "give the tokenizer.json of the model with --tokenizer: the file was converted without a tokenizer.model",
      );
  return wholes.flatMap(({ pairs }) => pairs);
}

/** The two parts that a text can be made of, the longest first part first. */
function partsOf(whole: string, ids: ReadonlyMap<string, number>): readonly (readonly [string, string])[] {
  const characters = Array.from(whole);
  const pairs: (readonly [string, string])[] = [];
  let first = whole;
  for (let n = characters.length - 1; n > 0; n--) {
    first = first.slice(0, -characters[n]!.length);
    const second = whole.slice(first.length);
    const firstIs = n === 1 || ids.has(first);
    const secondIs = n === characters.length - 1 || ids.has(second);
    if (firstIs && secondIs) pairs.push([first, second]);
  }
  return pairs;
}

/** A way to cut text into words. */
interface Splitting {
  /** Patterns in order: each cuts what the ones before it left, and its matches and what lies between are words. */
  readonly patterns: readonly string[];
  /** Whether a word that is a token becomes it, whatever the merges say. */
  readonly whole: boolean;
  /** Whether a text begins with the begin token, if the file does not specify this. */
  readonly begins: boolean;
}

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
/** Those after GPT-4's, by the digits that may stand together. */
const newer = (digits: string): string =>
  String.raw`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|` +
  String.raw`${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const LETTERS = { notLower: String.raw`(?:(?=\p{L})[^a-z])`, notUpper: String.raw`(?:(?=\p{L})[^A-Z])` };
const TEKKEN =
  String.raw`[^\r\n\p{L}\p{N}]?${LETTERS.notLower}*${LETTERS.notUpper}+|` +
  String.raw`[^\r\n\p{L}\p{N}]?${LETTERS.notLower}+${LETTERS.notUpper}*|` +
  String.raw`\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const cuts = (patterns: readonly string[], more: Partial<Splitting> = {}): Splitting => ({
  patterns,
  whole: false,
  begins: false,
  ...more,
});

const gpt2 = cuts([GPT2]);
const singleDigits = cuts([String.raw`\p{N}`, GPT2]);
const qwen2 = cuts([newer(String.raw`\p{N}`)]);
const threeDigits = newer(String.raw`\p{N}{1,3}`);
const llama3 = cuts([threeDigits], { whole: true, begins: true });

/** The splitting for files that name none. */
const UNSAID = "default";

/** By name, as llama.cpp cuts text. */
const splittings: ReadonlyMap<string, Splitting> = new Map([
  [UNSAID, cuts([String.raw`[\p{P}\$\+<=>\^~\|]+`, GPT2, String.raw`\p{N}+`, "[0-9][0-9][0-9]"])],
  ["gpt-2", gpt2],
  ["mpt", gpt2],
  ["olmo", gpt2],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["falcon3", llama3],
  ["pixtral", llama3],
  ["smaug-bpe", cuts([threeDigits])],
  ["dbrx", cuts([threeDigits])],
  ["qwen2", qwen2],
  ["deepseek-r1-qwen", qwen2],
  ["megrez", qwen2],
  ["stablelm2", qwen2],
  ["smollm", singleDigits],
  ["starcoder", singleDigits],
  ["refact", singleDigits],
  ["command-r", singleDigits],
  ["tekken", cuts([TEKKEN], { whole: true, begins: true })],
]);
