// Where the tokens of a completion begin in its text, held against decoding the tokens before each.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { promptOffsets } from "../../src/serve/offsets.js";
import { parseTokenizer, type Tokenizer } from "../../src/tokenizer/index.js";
import { noStories, STORIES } from "../stories.js";
import { ask, bytes, scripted } from "./asked.js";

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
      expect(promptOffsets(tokenizer, tokens, text), text).toEqual(expected);
    }
    expect(promptOffsets(tokenizer, tokenizer.encode("Once upon", { template: true }), "Once upon")).toEqual([0, 0, 4]);
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
      expect(promptOffsets(tokenizer, tokens, text), text).toEqual(offsets);
    }
    // Of a list the text is without them.
    const tokens = tokenizer.encode("a<s>b", { template: true });
    expect(tokenizer.decode(tokens)).toBe("a b");
    expect(promptOffsets(tokenizer, tokens, "a b")).toEqual([0, 0, 1, 1]);
  });
});
