// How text is cut into words before bytes are merged, by the names of `tokenizer.ggml.pre` in GGUF files.

/** A way to cut text into words. */
export interface Splitting {
  /** Patterns in order: each cuts what the ones before it left, and its matches and what lies between are words. */
  readonly patterns: readonly string[];
  /** Whether a word that is a token becomes it, whatever the merges say. */
  readonly whole: boolean;
  /** Whether a text begins with the token for that, where the file does not say. */
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
export const UNSAID = "default";

/** By name, as llama.cpp cuts text. */
export const splittings: ReadonlyMap<string, Splitting> = new Map([
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
