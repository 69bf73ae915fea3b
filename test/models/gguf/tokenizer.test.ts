// Tokenizers of GGUF files: the tokens that llama.cpp gives for odd text, special tokens, ends, and what is refused.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GgufHeader } from "../../../src/runtime/weights/gguf/header.js";
import type { GgufValue } from "../../../src/runtime/weights/gguf/metadata.js";
import { TokenizerError } from "../../../src/models/tokenizer/errors.js";
import { ggufTokenizer } from "../../../src/models/tokenizer/gguf.js";
import { parseTokenizer } from "../../../src/models/tokenizer/tokenizer.js";
import { openTokenizer, type OpenedTokenizer } from "../../../src/models/tokenizer/tokenizer-node.js";
import { random } from "../../random.js";
import { cases, seedOf, soaking } from "../../soak.js";
import { mobyDick, QWEN3 } from "../tokenizer/files.js";
import { hasPython, pythonNote, writeGguf } from "./python.js";
import { PAGE, VOCABULARIES, type Key } from "./vocabularies.js";

const folder = mkdtempSync(join(tmpdir(), "modc-gguf-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const ORACLE = JSON.parse(readFileSync(new URL("oracle.json", import.meta.url), "utf8")) as Record<string, number[][]>;

describe.skipIf(!hasPython)(`the tokenizer of a GGUF file${pythonNote}`, () => {
  const opened = new Map<string, OpenedTokenizer>();
  beforeAll(async () => {
    const files = [...VOCABULARIES].map(([name, keys], i) => ({
      name,
      output: join(folder, `${i}.gguf`),
      keys: keys(),
    }));
    await writeGguf(files);
    for (const { name, output } of files) opened.set(name, await openTokenizer(output));
  });

  it.each([...VOCABULARIES.keys()])("%s: a page of odd text has llama.cpp's tokens", (name) => {
    const { tokenizer } = opened.get(name)!;
    for (const [i, text] of PAGE.entries())
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ORACLE[name]![i]);
  });

  it("gives text back, special tokens or not", () => {
    for (const name of ["llama", "gpt2, llama-bpe", "gpt2, unsaid"])
      // ▁ is a space, and a byte-order mark is none of the bytes that are decoded.
      for (const text of PAGE.filter((line) => !/<s>|▁|\ufeff/.test(line))) {
        const { tokenizer } = opened.get(name)!;
        expect(tokenizer.decode(tokenizer.encode(text), { special: true }), name).toBe(text);
      }
    const { tokenizer } = opened.get("gpt2, qwen2")!;
    const tokens = tokenizer.encode("<|im_start|>a<|im_end|>");
    // the first is a user-defined token, not a control token
    expect(tokens.map((token) => tokenizer.isSpecial(token))).toEqual([false, false, true]);
    expect(tokenizer.decode(tokens)).toBe("<|im_start|>a");
  });

  it.skipIf(!soaking)(
    "of Qwen3 gives the ids of its folder on a long text (in the soak)",
    { timeout: 120_000 },
    async () => {
      const output = join(folder, "qwen3.gguf");
      await writeGguf([{ output, keys: ofFolder(QWEN3) }]);
      const [own, theirs] = [await openTokenizer(output), await openTokenizer(QWEN3)];
      const text = `${mobyDick()}<|im_start|>user\nhi<|im_end|>`;
      const tokens = own.tokenizer.encode(text);
      const expected = theirs.tokenizer.encode(text);
      expect(tokens.length).toBe(expected.length);
      expect(tokens.findIndex((token, i) => token !== expected[i])).toBe(-1);
    },
  );

  it("puts the tokens around a text that the file says, or that its kind does", () => {
    const around = (name: string): readonly (string | null)[] => {
      const { tokenizer } = opened.get(name)!;
      return tokenizer.encode("a", { template: true }).map((id) => tokenizer.decode([id], { special: true }));
    };
    expect(around("llama")).toEqual(["<s>", "a"]);
    expect(around("llama, no prefix, no bos, eos")).toEqual(["a", "</s>"]);
    expect(around("gpt2, llama-bpe")).toEqual(["<|end|>", "a"]);
    expect(around("gpt2, qwen2")).toEqual(["a"]);
  });

  it("ends a text with the tokens that the file names, and those of control with the usual names", () => {
    const { end, ends, tokenizer } = opened.get("gpt2, qwen2")!;
    expect([end, ...ends]).toEqual([
      tokenizer.idOf("<|im_end|>"),
      tokenizer.idOf("<|im_end|>"),
      tokenizer.idOf("<|end|>"),
    ]);
  });
});

/** Qwen3's tokenizer as llama.cpp writes it. */
function ofFolder(path: string): readonly Key[] {
  const { model, added_tokens: added } = JSON.parse(readFileSync(join(path, "tokenizer.json"), "utf8")) as {
    readonly model: {
      readonly vocab: Readonly<Record<string, number>>;
      readonly merges: readonly (string | string[])[];
    };
    readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  };
  const tokens: string[] = [];
  const kinds: number[] = [];
  for (const [token, id] of Object.entries(model.vocab)) [tokens[id], kinds[id]] = [token, 1];
  for (const { id, content, special } of added) [tokens[id], kinds[id]] = [content, special ? 3 : 4];
  return [
    ["tokenizer.ggml.model", "str", "gpt2"],
    ["tokenizer.ggml.pre", "str", "qwen2"],
    ["tokenizer.ggml.tokens", "str[]", tokens],
    ["tokenizer.ggml.token_type", "i32[]", kinds],
    [
      "tokenizer.ggml.merges",
      "str[]",
      model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" "))),
    ],
  ];
}

/** Reads a file with these keys. */
const read = (keys: readonly Key[]) =>
  ggufTokenizer({ file: "f.gguf", tensors: new Map(), metadata: metadataOf(keys) });
const metadataOf = (keys: readonly Key[]): GgufHeader["metadata"] =>
  new Map(keys.flatMap(([name, , value]) => (value === null ? [] : [[name, value as GgufValue]])));
/** A tokenizer of three tokens and a merge, with other keys. */
const small = (more: Readonly<Record<string, unknown>>, model = "gpt2") =>
  read(
    Object.entries({
      model,
      tokens: ["a", "b", "ab"],
      ...(model === "gpt2" ? { merges: ["a b"] } : { scores: Float32Array.of(-1, -2, -3) }),
      ...more,
    }).map(([name, value]) => [name.includes(".") ? name : `tokenizer.ggml.${name}`, "", value]),
  );

describe("a tokenizer of a GGUF file that modc does not read", () => {
  it.each([
    ["another kind", { model: "t5" }, /f\.gguf: tokenizer\.ggml\.model is "t5": modc reads llama and gpt2/],
    ["a kind that is a number", { model: 3 }, /tokenizer\.ggml\.model is 3: it must be text/],
    ["no tokens", { tokens: null }, /there is no tokenizer\.ggml\.tokens/],
    ["an empty list", { tokens: [] }, /tokenizer\.ggml\.tokens is empty/],
    [
      "tokens that are numbers",
      { tokens: Float32Array.of(1) },
      /tokenizer\.ggml\.tokens is a list: it must list strings/,
    ],
    ["a token twice", { tokens: ["a", "b", "a"] }, /tokens 0 and 2 are both "a"/],
    ["kinds of fewer tokens", { token_type: Int32Array.of(1, 1) }, /token_type has 2 values for 3 tokens/],
    ["kinds that are texts", { token_type: ["a", "b", "c"] }, /token_type is a list: it must list numbers/],
    ["no merges", { merges: null }, /there is no tokenizer\.ggml\.merges/],
    [
      "a merge of one part",
      { merges: ["a b", "ab"] },
      /merge 1 of tokenizer\.ggml\.merges, "ab", does not have two parts/,
    ],
    [
      "another way to cut text",
      { pre: "deepseek-v3" },
      /tokenizer\.ggml\.pre is "deepseek-v3": modc knows default, gpt-2/,
    ],
    ["a token that there is not", { eos_token_id: 3 }, /eos_token_id is 3: there are 3 tokens/],
    [
      "a beginning that is not said",
      { add_bos_token: true },
      /there is no tokenizer\.ggml\.bos_token_id: the tokenizer adds/,
    ],
    ["a flag that is a number", { add_bos_token: 1 }, /add_bos_token is 1: it must be true or false/],
    ["a separator", { add_sep_token: true }, /add_sep_token is true/],
    [
      "an unknown key",
      { "tokenizer.ggml.normalizer.lowercase": true },
      /tokenizer\.ggml\.normalizer\.lowercase is true: modc does not know/,
    ],
    ["a chat template that is none", { "tokenizer.chat_template": 3 }, /tokenizer\.chat_template is not text/],
  ])("for %s says so", (_, more, message) => {
    expect(() => small(more)).toThrow(TokenizerError);
    expect(() => small(more)).toThrow(message);
  });

  it.each([
    ["no scores", { scores: null }, /there is no tokenizer\.ggml\.scores/],
    ["a score that is none", { scores: Float32Array.of(0, 0, NaN) }, /the score of token 2, "ab", is NaN/],
    [
      "scores that do not say which is merged first",
      { tokens: ["a", "b", "ab", "ba"], scores: Float32Array.of(0, 0, -1, -1), bos_token_id: 0 },
      /tokens "ab" and "ba" have the same score, -1/,
    ],
    [
      "tokens longer than any",
      { tokens: ["a", "b", "ab".repeat(10_000)] },
      /tokens are longer than merged tokens can be/,
    ],
  ])("of pieces for %s says so", (_, more, message) => {
    expect(() => small({ bos_token_id: 0, ...more }, "llama")).toThrow(message);
  });

  it("and one that has none is none", () => {
    expect(read([])).toBeNull();
    expect(small({ model: "none" })).toBeNull();
  });
});

/** SentencePiece's merges by their definition: of all neighbours the best whole, the first among equals, again and again. */
function merged(text: string, scores: ReadonlyMap<string, number>): readonly string[] {
  const parts = Array.from(text);
  for (;;) {
    let best = -1;
    let score = -Infinity;
    for (let i = 0; i + 1 < parts.length; i++) {
      const own = scores.get(parts[i]! + parts[i + 1]!) ?? -Infinity;
      if (own > score) [best, score] = [i, own];
    }
    if (best < 0) return parts;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
}

describe("merges by score", () => {
  it("are SentencePiece's, of random vocabularies and texts", async () => {
    const rng = random(seedOf(5));
    const word = (most: number): string =>
      Array.from({ length: 1 + rng.below(most) }, () => "abc"[rng.below(3)]!).join("");
    for (let trial = 0; trial < cases(60); trial++) {
      const wholes = [...new Set(["a", "b", "c", ...Array.from({ length: 12 }, () => word(4))])];
      const scores = new Map(wholes.map((whole) => [whole, rng.normal()]));
      const keys = small(
        {
          tokens: ["<s>", ...wholes],
          scores: Float32Array.of(0, ...scores.values()),
          bos_token_id: 0,
          add_space_prefix: false,
        },
        "llama",
      );
      const tokenizer = await parseTokenizer(keys!.tokenizer, "random", keys!.config);
      for (let i = 0; i < 20; i++) {
        const text = word(30);
        expect(
          tokenizer.encode(text).map((id) => wholes[id - 1]),
          `${text} by ${JSON.stringify([...scores])}`,
        ).toEqual(merged(text, scores));
      }
    }
  });
});
