// What is wrong in a `tokenizer.json` is told before anything reads it; what files of all kinds have is read.
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../../../src/models/tokenizer/errors.js";
import { parseTokenizer } from "../../../src/models/tokenizer/tokenizer.js";

const BPE = { type: "BPE", vocab: { a: 0, b: 1, ab: 2, abb: 3 }, merges: ["a b", "ab b"] };
const SCORED: readonly (readonly [string, number])[] = [
  ["<unk>", 0],
  ["▁", -1],
  ["a", -2],
];
const UNIGRAM = { type: "Unigram", vocab: SCORED, unk_id: 0 };
const WORDS = { type: "WordLevel", vocab: { the: 0, "[UNK]": 1 }, unk_token: "[UNK]" };
const PIECES = {
  ...WORDS,
  type: "WordPiece",
  vocab: { ...WORDS.vocab, a: 2, "##b": 3 },
  continuing_subword_prefix: "##",
};
const read = (model: object, more: object = {}) => parseTokenizer(JSON.stringify({ model, ...more }), "t.json");

describe("the description of a tokenizer", () => {
  it.each([
    ["merges that are none", { ...BPE, merges: null }, "model.merges is null: it must be a list"],
    ["no merges", { ...BPE, merges: undefined }, "t.json has no model.merges"],
    [
      "a merge of one piece",
      { ...BPE, merges: ["a"] },
      'model.merges[0] is "a": it must be two pieces with a space between',
    ],
    [
      "a merge of three pieces",
      { ...BPE, merges: ["a b", "a b b"] },
      'model.merges[1] is "a b b": it must be two pieces',
    ],
    ["a merge that is a number", { ...BPE, merges: [5] }, "model.merges[0] is 5: it must be two pieces"],
    ["a pair of one", { ...BPE, merges: [["a", "b"], ["a"]] }, 'model.merges[1] is ["a"]: it must be a pair of pieces'],
    ["merges of both forms", { ...BPE, merges: [["a", "b"], "ab b"] }, 'model.merges[1] is "ab b": it must be a pair'],
    ["a merge of a piece that there is not", { ...BPE, merges: ["qq a"] }, 'model.merges[0] is "qq a": "qq" is not in'],
    ["a merge into one that there is not", { ...BPE, merges: ["b a"] }, 'model.merges[0] is "b a": "ba" is not in'],
    ["no vocabulary", { ...BPE, vocab: undefined }, "t.json has no model.vocab"],
    [
      "an empty vocabulary",
      { ...BPE, vocab: {} },
      "model.vocab is {}: it must be an object of at least one piece with its id",
    ],
    [
      "a list of pieces",
      { ...BPE, vocab: [] },
      "model.vocab is []: it must be an object of at least one piece with its id",
    ],
    ["an id below 0", { ...BPE, vocab: { a: -1 } }, 'model.vocab["a"] is -1: it must be a whole number from 0 to'],
    ["an id between numbers", { ...WORDS, vocab: { a: 1.5 } }, 'model.vocab["a"] is 1.5: it must be a whole number'],
    ["an id that is a text", { ...PIECES, vocab: { a: "a" } }, 'model.vocab["a"] is "a": it must be a whole number'],
    [
      "an id beyond all",
      { ...BPE, vocab: { a: 2 ** 31 } },
      'model.vocab["a"] is 2147483648: it must be a whole number',
    ],
    ["an id of two", { ...BPE, vocab: { a: 0, b: 1, ab: 1 } }, 'model.vocab["ab"] is 1: "b" has this id too'],
    ["an unknown token that is none", { ...WORDS, unk_token: 1 }, "model.unk_token is 1: it must be a string"],
    [
      "scores of nothing",
      { ...UNIGRAM, vocab: {} },
      "model.vocab is {}: it must be a list of at least one piece with its score",
    ],
    ["a piece without a score", { ...UNIGRAM, vocab: [["a"]] }, 'model.vocab[0] is ["a"]: it must be a piece and its'],
    ["an unknown piece that is none", { ...UNIGRAM, unk_id: 3 }, "model.unk_id is 3: there are 3 pieces"],
  ])("with %s is refused", async (_, model, message) => {
    await expect(read(model)).rejects.toMatchObject({
      name: "TokenizerError",
      message: expect.stringMatching(/^t\.json(:| has no) /) as string,
    });
    await expect(read(model)).rejects.toThrow(message);
  });

  it.each([
    ["added tokens that are none", { added_tokens: 5 }, "added_tokens is 5: it must be a list"],
    ["an added token that is none", { added_tokens: ["<s>"] }, 'added_tokens[0] is "<s>": it must be an object'],
    ["an added token without an id", { added_tokens: [{ content: "<s>" }] }, "t.json has no added_tokens[0].id"],
    ["an added token without a text", { added_tokens: [{ id: 4 }] }, "t.json has no added_tokens[0].content"],
    [
      "two added tokens of one id",
      {
        added_tokens: [
          { id: 4, content: "<s>" },
          { id: 4, content: "</s>" },
        ],
      },
      'added_tokens[1].id is 4: "<s>" has this id too',
    ],
    [
      "an added token that takes a piece's id",
      { added_tokens: [{ id: 1, content: "<s>" }] },
      'added_tokens[0].id is 1: "b" has this id too',
    ],
    ["a decoder that is none", { decoder: 5 }, "decoder is 5: it must be an object or null"],
  ])("with %s is refused", async (_, more, message) => {
    await expect(read(BPE, more)).rejects.toThrow(message);
  });

  it("says what to rename where an added token took a piece's place", async () => {
    const hint = 'if "<s>" took its place, rename the piece "b" in model.vocab too';
    await expect(read(BPE, { added_tokens: [{ id: 1, content: "<s>" }] })).rejects.toMatchObject({ hint });
    const renamed = { type: "BPE", vocab: { a: 0, "<s>": 1, c: 2 }, merges: [] };
    const tokenizer = await read(renamed, { added_tokens: [{ id: 1, content: "<s>", special: true }] });
    expect(tokenizer.encode("a<s>c")).toEqual([0, 1, 2]);
  });

  it.each([
    ["an id that nothing has", 7],
    ["the id of another piece", 1],
  ])("with a piece among added tokens under %s keeps the vocabulary's, in texts and out of them", async (_, id) => {
    for (const special of [false, true]) {
      const tokenizer = await read(BPE, {
        added_tokens: [
          { id, content: "ab", special },
          { id: 9, content: "<s>", special: true },
          { id: 10, content: "<s>", special: true },
        ],
        decoder: { type: "Fuse" },
      });
      const text = "bab<s>a";
      const tokens = tokenizer.encode(text);
      expect(tokens).toEqual([1, 2, 9, 0]);
      expect(tokenizer.decode(tokens, { special: true })).toBe(text);
      expect(tokenizer.decode(tokens)).toBe(special ? "ba" : "baba");
      expect([1, 2, 9].map((token) => tokenizer.isSpecial(token))).toEqual([false, special, true]);
      expect([tokenizer.idOf("ab"), tokenizer.idOf("b"), tokenizer.vocabulary]).toEqual([2, 1, 10]);
    }
  });

  it("without an unknown piece has no token for what it does not know", async () => {
    const tokenizer = await read({ ...UNIGRAM, unk_id: null });
    expect(() => tokenizer.encode("ab")).toThrow(TokenizerError);
  });

  it("may have merges as texts or pairs, gaps, and added tokens that the vocabulary has too or has not", async () => {
    const added_tokens = [
      { id: 0, content: "a", special: false },
      { id: 9, content: "<s>", special: true },
    ];
    for (const merges of [BPE.merges, BPE.merges.map((merge) => merge.split(" ")), ["#version: 0.2", ...BPE.merges]]) {
      const tokenizer = await read({ ...BPE, merges }, { added_tokens: added_tokens.slice(1) });
      expect([tokenizer.encode("abb<s>ab"), tokenizer.vocabulary]).toEqual([[3, 9, 2], 10]);
    }
    expect((await read(BPE, { added_tokens })).encode("bab")).toEqual([1, 0, 1]);
    // Merges may begin with characters that the vocabulary lacks, as those of SentencePiece do.
    const bare = await read({ ...BPE, vocab: { ab: 0, abb: 1 } });
    expect(bare.encode("abbab")).toEqual([1, 0]);
    expect((await read({ ...BPE, type: undefined, continuing_subword_prefix: "", unk_token: null })).vocabulary).toBe(
      4,
    );
    // A merge takes the second's prefix away.
    const prefixed = {
      type: "BPE",
      vocab: { a: 0, "##b": 1, ab: 2 },
      merges: ["a ##b"],
      continuing_subword_prefix: "##",
    };
    expect((await read(prefixed)).vocabulary).toBe(3);
  });

  it("may be of other kinds", async () => {
    expect((await read(UNIGRAM)).encode("a")).toEqual([2]);
    // Camembert's has a piece twice.
    expect((await read({ ...UNIGRAM, vocab: [...UNIGRAM.vocab, ["<unk>", -100]] })).vocabulary).toBe(4);
    const twice = { ...UNIGRAM, vocab: [...UNIGRAM.vocab, ["<unk>", -100]] };
    for (const id of [0, 3])
      expect((await read(twice, { added_tokens: [{ id, content: "<unk>", special: true }] })).vocabulary).toBe(4);
    expect((await read({ ...UNIGRAM, type: undefined })).vocabulary).toBe(3);
    expect((await read(WORDS, { pre_tokenizer: { type: "Whitespace" } })).encode("the whale")).toEqual([0, 1]);
    expect((await read(PIECES)).encode("ab")).toEqual([2, 3]);
  });
});
