// Where the tokens of a completion begin in its text, held against decoding the tokens before each.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { promptOffsets } from "../../../src/tools/serve/requests/offsets.js";
import { parseTokenizer, type Tokenizer } from "../../../src/models/tokenizer/index.js";
import { random } from "../../random.js";
import { noStories, STORIES } from "../../stories.js";
import { gpt2Json } from "../../models/tokenizer/files.js";
import { ask, bytes, CHAT, scripted } from "./asked.js";

/** The signal of a client that stays. */
const NEVER = new AbortController().signal;

/** Code points of what the tokens are in a text, without a character that is not whole yet. */
const lengthOf = (tokenizer: Pick<Tokenizer, "decode">, tokens: readonly number[]): number =>
  Array.from(tokenizer.decode(tokens).replace(/\ufffd$/u, "")).length;

describe("offsets of a completion", () => {
  it("count code points, in the prompt and behind it", async () => {
    const [prompt, said] = ["Call 😀 me", " 🤗, é!"];
    const { server } = scripted(said);
    const body = { prompt, max_tokens: bytes(said).length, echo: true, logprobs: 0 };
    const { text, logprobs } = (await ask(server, "/v1/completions", body)).json.choices[0];
    expect(text).toBe(prompt + said);
    const decode = (tokens: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(tokens));
    const all = bytes(prompt + said);
    expect(logprobs.text_offset).toEqual(all.map((_, i) => lengthOf({ decode }, all.slice(0, i))));
    const points = Array.from(text as string);
    logprobs.tokens.forEach((token: string, i: number) => {
      if (!token.startsWith("bytes:")) expect(points[logprobs.text_offset[i]]).toBe(token);
    });
  });

  it.skipIf(STORIES === null)(`are those of the tokens decoded so far${noStories}`, async () => {
    const read = (name: string): string => readFileSync(join(STORIES!, name), "utf8");
    const tokenizer = await parseTokenizer(read("tokenizer.json"), "it", read("tokenizer_config.json"));
    for (const text of ["Once upon", " Once upon", "  lead", "", "Call 😀 me", "日本 語", "naïve 🤗🤗 x", "a\n b "]) {
      const tokens = tokenizer.encode(text, { template: true });
      const expected = tokens.map((_, i) => lengthOf(tokenizer, tokens.slice(0, i)));
      expect(await promptOffsets(tokenizer, tokens, text, NEVER), text).toEqual(expected);
    }
    expect(
      await promptOffsets(tokenizer, tokenizer.encode("Once upon", { template: true }), "Once upon", NEVER),
    ).toEqual([0, 0, 4]);
  });

  it.skipIf(STORIES === null)(`give special tokens the place that the text gives them${noStories}`, async () => {
    const read = (name: string): string => readFileSync(join(STORIES!, name), "utf8");
    const tokenizer = await parseTokenizer(read("tokenizer.json"), "it", read("tokenizer_config.json"));
    for (const [text, names, offsets] of [
      ["<s>x</s>", ["<s>", "<s>", " ", "x", "</s>"], [0, 0, 3, 3, 4]],
      ["<s> x</s> y", ["<s>", "<s>", " ", " ", "x", "</s>", " ", " y"], [0, 0, 3, 3, 4, 5, 9, 9]],
      ["a<s>b", ["<s>", " a", "<s>", " b"], [0, 0, 1, 4]],
      ["😀</s>", ["<s>", " ", null, null, null, null, "</s>"], [0, 0, 0, 0, 0, 0, 1]],
      ["<s>", ["<s>", "<s>"], [0, 0]],
    ] as const) {
      const tokens = tokenizer.encode(text, { template: true });
      tokens.forEach((token, i) => {
        const name = names[i] ?? null;
        const written = tokenizer.decode([1, token], { special: true }).slice("<s>".length);
        if (name !== null) expect(written, text).toBe(name);
      });
      expect(await promptOffsets(tokenizer, tokens, text, NEVER), text).toEqual(offsets);
    }
    // Of a list the text is without them.
    const tokens = tokenizer.encode("a<s>b", { template: true });
    expect(tokenizer.decode(tokens)).toBe("a b");
    expect(await promptOffsets(tokenizer, tokens, "a b", NEVER)).toEqual([0, 0, 1, 1]);
  });

  it(
    "are those of the character that a token's first byte belongs to, whatever the bytes",
    { tags: "long" },
    async () => {
      const rng = random(5);
      const decode = (tokens: readonly number[]): string =>
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(tokens));
      const place = (all: readonly number[], i: number): number => Array.from(decode(all.slice(0, i + 1))).length - 1;
      for (let round = 0; round < 300; round++) {
        const prompt = [...broken(rng, 1 + rng.below(12)), 0x78];
        const said = broken(rng, 1 + rng.below(16));
        const { server } = scripted("", { script: { says: () => said } });
        const body = { prompt, max_tokens: said.length, logprobs: 0 };
        const echoed = (await ask(server, "/v1/completions", { ...body, echo: true })).json.choices[0];
        const all = [...prompt, ...said];
        expect(echoed.text).toBe(decode(all));
        expect(echoed.logprobs.text_offset, String(all)).toEqual(all.map((_, i) => place(all, i)));
        const own = (await ask(server, "/v1/completions", body)).json.choices[0];
        expect(own.text).toBe(decode(said));
        expect(own.logprobs.text_offset, String(said)).toEqual(said.map((_, i) => place(said, i)));
      }
    },
  );

  it(
    "never decrease, and whole tokens stand at theirs, also behind a prompt that ends in a character",
    { tags: "long" },
    async () => {
      const rng = random(6);
      for (let round = 0; round < 300; round++) {
        const [prompt, said] = [broken(rng, 1 + rng.below(5)), broken(rng, 1 + rng.below(8))];
        const { server } = scripted("", { script: { says: () => said } });
        for (const echo of [false, true]) {
          const body = { prompt, max_tokens: said.length, logprobs: 0, echo };
          const { text, logprobs } = (await ask(server, "/v1/completions", body)).json.choices[0];
          expectPlaced(text, logprobs.tokens, logprobs.text_offset);
        }
      }
      const { server } = scripted("", { script: { says: () => [0x61] } });
      const body = { prompt: [0x78, 0xe2], max_tokens: 1, logprobs: 0 };
      expect((await ask(server, "/v1/completions", body)).json.choices[0]).toMatchObject({ text: "a" });
      const echoed = (await ask(server, "/v1/completions", { ...body, echo: true })).json.choices[0];
      expect(echoed).toMatchObject({ text: "x\ufffda", logprobs: { text_offset: [0, 1, 2] } });
    },
  );

  it("are so where tokens have several bytes, of which some begin or end a character", { tags: "long" }, async () => {
    const tokenizer = await parseTokenizer(gpt2Json(), "gpt2");
    const rng = random(7);
    const parts = Array.from({ length: tokenizer.vocabulary - 1 }, (_, id) => id).filter((id) =>
      tokenizer.decode([id]).includes("\ufffd"),
    );
    const draw = (): number => (rng.below(3) === 0 ? rng.below(50256) : parts[rng.below(parts.length)]!);
    const bytesOf = (tokens: readonly number[]): number[] => tokens.flatMap((token) => [...tokenizer.bytesOf(token)!]);
    const decode = (own: readonly number[]): string =>
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(own));
    for (let round = 0; round < 200; round++) {
      const said = Array.from({ length: 1 + rng.below(12) }, draw);
      const { server } = scripted("", { tokenizer, script: { says: () => said, model: { vocabulary: 50257 } } });
      const body = { prompt: [64], max_tokens: said.length, logprobs: 0 };
      const { text, logprobs } = (await ask(server, "/v1/completions", body)).json.choices[0];
      expect(text).toBe(decode(bytesOf(said)));
      const places = said.map((token, i) => {
        const before = [...bytesOf(said.slice(0, i)), tokenizer.bytesOf(token)![0]!];
        return Array.from(decode(before)).length - 1;
      });
      expect(logprobs.text_offset, String(said)).toEqual(places);
    }
  });

  it("stand in the prompt as it was written, where the tokenizer changes it", async () => {
    const tokenizer = await bert();
    for (const [text, offsets] of [
      ["Hello World", [0, 5]],
      ["  HELLO,  world", [2, 7, 9]],
      ["Don't CAFÉs", [0, 3, 4, 5, 10]],
      ["Hello Zebra World, x", [0, 5, 11, 17, 18]],
      ["XY東hello", [0, 1, 2, 3]],
    ] as const) {
      const tokens = tokenizer.encode(text);
      expect(await promptOffsets(tokenizer, tokens, text, NEVER), text).toEqual(offsets);
      const { server } = scripted("", { tokenizer, script: { says: () => [3] } });
      const body = { prompt: text, max_tokens: 1, logprobs: 0, echo: true };
      const { logprobs } = (await ask(server, "/v1/completions", body)).json.choices[0];
      expect(logprobs.text_offset).toEqual([...offsets, text.length]);
    }
  });

  it("take work in proportion to the prompt where each of its runs is changed", async () => {
    const tokenizer = await bert();
    const looks = async (runs: number): Promise<number> => {
      const text = "Hello World[SEP]".repeat(runs);
      const tokens = tokenizer.encode(text);
      const normalize = vi.spyOn(String.prototype, "normalize");
      try {
        const offsets = await promptOffsets(tokenizer, tokens, text, NEVER);
        expect(offsets).toEqual(Array.from({ length: runs }, (_, i) => [0, 5, 11].map((at) => 16 * i + at)).flat());
        return normalize.mock.calls.length;
      } finally {
        normalize.mockRestore();
      }
    };
    const [some, more] = [await looks(50), await looks(200)];
    expect(more).toBeGreaterThan(50);
    expect(more).toBeLessThan(5 * some);
  });

  it(
    "are there for prompts of more tokens than a call takes arguments",
    { tags: "long", timeout: 240_000 },
    async () => {
      const tokenizer = await bert();
      for (const [text, first] of [
        ["hello [SEP]x" + " x".repeat(140_000), [0, 6, 11]],
        ["Hello" + " X".repeat(140_000), [0, 5, 7]],
      ] as const) {
        const offsets = await promptOffsets(tokenizer, tokenizer.encode(text), text, NEVER);
        expect(offsets.slice(0, 3)).toEqual(first);
        expect(offsets.at(-1)).toBe(text.length - 2);
      }
    },
  );

  it("leave chats whole: the texts of all tokens are the content, also where it ends in a character", async () => {
    const rng = random(8);
    for (let round = 0; round < 100; round++) {
      const said = broken(rng, 1 + rng.below(10));
      const { server } = scripted("", { chat: CHAT, script: { says: () => said } });
      const body = { messages: [{ role: "user", content: "x" }], max_tokens: said.length, logprobs: true };
      const { message, logprobs } = (await ask(server, "/v1/chat/completions", body)).json.choices[0];
      const entries: readonly { token: string; bytes: readonly number[] }[] = logprobs.content;
      expect(entries.map(({ token }) => token).join(""), String(said)).toBe(message.content);
    }
  });
});

/** A tokenizer that changes texts: to lower case, without accents and blanks. */
function bert(): Promise<Tokenizer> {
  const words = ["[UNK]", "[CLS]", "[SEP]", "hello", "world", ",", "don", "'", "t", "cafe", "##s", "x", "##y", "東"];
  const special = ["[UNK]", "[CLS]", "[SEP]"].map((content, id) => ({ id, content, special: true }));
  return parseTokenizer(
    JSON.stringify({
      added_tokens: special,
      normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: true },
      pre_tokenizer: { type: "BertPreTokenizer" },
      decoder: { type: "WordPiece", prefix: "##", cleanup: true },
      model: {
        type: "WordPiece",
        vocab: Object.fromEntries(words.map((word, id) => [word, id])),
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
      },
    }),
    "bert",
  );
}

/** Bytes of which most are parts of characters, whole or broken, and some are letters. */
function broken(rng: ReturnType<typeof random>, n: number): readonly number[] {
  const whole = ["a", "é", "€", "😀", "\ufffd"];
  const out: number[] = [];
  while (out.length < n)
    if (rng.below(3) > 0) out.push(...bytes(whole[rng.below(whole.length)]!).slice(rng.below(2), 1 + rng.below(4)));
    else out.push([0x61, 0xff, 0x80, 0xe2, 0xf0, 0x9f, 0xc3][rng.below(7)]!);
  return out.slice(0, n);
}

function expectPlaced(text: string, tokens: readonly string[], offsets: readonly number[]): void {
  const points = Array.from(text);
  tokens.forEach((token, i) => {
    expect(offsets[i]).toBeGreaterThanOrEqual(offsets[i - 1] ?? 0);
    if (!token.startsWith("bytes:")) expect(points.slice(offsets[i]).join("").startsWith(token), text).toBe(true);
  });
}
