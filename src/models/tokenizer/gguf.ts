// Converts a GGUF file's tokenizer to Hugging Face's files, so that one parser reads both: of the kinds `llama` (scores
// of pieces, bytes for what has none) and `gpt2` (merges of bytes).
import { quotedName } from "../../ground/base/shown.js";
import type { GgufHeader } from "../../runtime/weights/gguf/header.js";
import { TokenizerKeys } from "./gguf-keys.js";
import { mergesByScore } from "./gguf-merges.js";
import { splittings, UNSAID } from "./gguf-split.js";

/** The files of a tokenizer, as texts, and the tokens that end a text. */
export interface GgufTokenizer {
  readonly tokenizer: string;
  /** With the chat template. */
  readonly config: string;
  readonly ends: readonly number[];
}

/** What to do about a tokenizer that is not read. */
const INSTEAD = "give the tokenizer.json of the model with --tokenizer";

/** What a token is, by the number that stands for it in a file. */
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
  /** Whether a text begins with the token for that, where the file does not say. */
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
