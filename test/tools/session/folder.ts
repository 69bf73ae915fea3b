// A checkpoint's folder with all that texts need: a small decoder, words for tokens, a chat template, defaults of
// generation.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { VARIANTS, writeFolder } from "../../models/families/folders.js";

/** The end of a text, of a turn, and the token for what is unknown. */
export const SPECIAL = { unknown: 0, begin: 1, end: 2 } as const;

const WORDS = [
  "<unk>",
  "<s>",
  "</s>",
  "the",
  "white",
  "whale",
  "of",
  "sea",
  "user:",
  "system:",
  "be",
  "brief",
  ...Array.from({ length: 84 }, (_, i) => `w${i}`),
];

/** Words split at spaces; a token for the beginning is put before a text. */
export const TOKENIZER = {
  added_tokens: [0, 1, 2].map((id) => ({
    id,
    content: WORDS[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  model: { type: "WordLevel", vocab: Object.fromEntries(WORDS.map((word, i) => [word, i])), unk_token: "<unk>" },
};

const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{% if m.content == 'nothing' %}{{ raise_exception('nothing is no " +
  "message') }}{% endif %} {{ m.role }}: {{ m.content }}{% endfor %}";

/** Tokens of a text, by the words alone. */
export const wordsOf = (text: string): number[] => text.split(" ").map((word) => Math.max(0, WORDS.indexOf(word)));

/** Writes it; returns the words. */
export function writeTextFolder(
  folder: string,
  generation: Readonly<Record<string, unknown>>,
  seed: number,
): readonly string[] {
  writeFolder(
    folder,
    VARIANTS.find((v) => v.name === "Qwen3, windows by layer types")!,
    seed,
  );
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(TOKENIZER));
  writeFileSync(
    join(folder, "tokenizer_config.json"),
    JSON.stringify({ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", chat_template: TEMPLATE }),
  );
  writeFileSync(join(folder, "generation_config.json"), JSON.stringify(generation));
  return WORDS;
}
