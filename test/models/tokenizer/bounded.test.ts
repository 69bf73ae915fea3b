// Tokenizers that may take unlimited time: which are detected, where they run, and how their work ends.
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { BoundedPattern } from "../../../src/models/tokenizer/bounded-library.js";
import { Deadline } from "../../../src/models/tokenizer/deadline.js";
import { openTokenizer, parseTokenizer, TokenizerError } from "../../../src/models/tokenizer/index.js";
import { parseTokenizer as parseHere } from "../../../src/models/tokenizer/page.js";
import { isFixed, patternCost } from "../../../src/models/tokenizer/pattern-cost.js";
import { wordPieces, type WordPieceModel } from "../../../src/models/tokenizer/word-piece.js";
import { processorTime } from "../../processor-time.js";
import { random } from "../../random.js";

const temporary = mkdtempSync(join(tmpdir(), "modc-bounded-"));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const letters = Array.from("abcdefghijklmnopqrstuvwxyz! ");

function tokenizerJson(parts: object): string {
  return JSON.stringify({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: { type: "BPE", vocab: Object.fromEntries(letters.map((letter, i) => [letter, i])), merges: [] },
    ...parts,
  });
}

const ENDLESS = tokenizerJson({ pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated" } });
const LONG = `${"a".repeat(40)}!`;

const GPT4 =
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|` +
  String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;

describe("patterns", () => {
  it("of known tokenizers take linear time for each attempt", () => {
    for (const pattern of [
      GPT4,
      String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
      String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{M}]+(?i:'s|'t|'re)?|\p{N}{1,3}|\s+(?!\S)|\s+`,
      String.raw`[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+|\s+`,
      String.raw` ?[^(\s|[.,!?…。，、।۔،])]+`,
      "[一-龥぀-ゟ゠-ヿ]+",
    ])
      expect(patternCost(pattern), pattern).not.toBeNull();
  });

  it("that repeat what repeats, or may try many ways, are not vouched for", () => {
    for (const pattern of [
      "(a+)+$",
      "(a|aa)+$",
      "(a*)*",
      "a*a*b",
      "(?=(\\d{3})+)",
      "a{1,3}+b",
      "(x)\\1",
      "a{1,999}",
      "(?<=xa*a*)b",
      "(?<=(?:xa*)a*)",
      // The library drops \\G, so that the part before it is repeated.
      "(?:[a-z ,]+)\\G{20}!",
      "(?:a+)\\G*b",
      // The library writes this as [(]|\\s(?:a+)+[b].
      "\\[^(\\s|[(?:a+)+b])]",
    ])
      expect(patternCost(pattern), pattern).toBeNull();
    // What is looked at alone is read again at the next place.
    for (const pattern of ["(?=a+)a", "(?!a+)b", "(?<=a+)b", "(?<=ba*)c"])
      expect(patternCost(pattern)!.long, pattern).toBe(1);
  });

  it("repeat nothing, or do", () => {
    for (const pattern of ["a", "[+*]\\+", "a|b"]) expect(isFixed(pattern), pattern).toBe(pattern !== "[+*]\\+");
    for (const pattern of ["a+", "a?", "a{2}"]) expect(isFixed(pattern), pattern).toBe(false);
  });

  it("that check a deadline do what expressions do", () => {
    const rng = random(3);
    const patterns = [/a+|b/gu, /a*/gu, /(a)(b)?/gu, /\s+(?!\S)|\s+/gu, /(?<=a)b|😀/gu, /(?:)/gu, /x/gu];
    for (let round = 0; round < 400; round++) {
      const text = Array.from({ length: rng.below(12) }, () => ["a", "b", " ", "😀", "\n"][rng.below(5)]).join("");
      for (const pattern of patterns) {
        const own = new BoundedPattern(pattern, new Deadline("it"));
        const shown = `${pattern} ${JSON.stringify(text)}`;
        expect(own[Symbol.match](text), shown).toEqual(text.match(pattern) && [...text.match(pattern)!]);
        expect(own[Symbol.split](text), shown).toEqual(text.split(pattern));
        for (const by of ["-", "[$&$1$$]", "<$'$`>"])
          expect(own[Symbol.replace](text, by), shown).toBe(text.replaceAll(pattern, by));
      }
    }
  });
});

describe("a tokenizer with a pattern that may never end", () => {
  it("is refused where there is no worker, by its file and its pattern", async () => {
    await expect(parseHere(ENDLESS, "x.json")).rejects.toMatchObject({
      code: "too-slow",
      message: expect.stringContaining('x.json may never end: its pattern "(a+)+$"'),
    });
  });

  it(
    "encodes in a worker that ends after a bound, while timers run, and answers the next text",
    { tags: "long" },
    async () => {
      const folder = join(temporary, "endless");
      mkdirSync(folder);
      writeFileSync(join(folder, "tokenizer.json"), ENDLESS);
      const { tokenizer } = await openTokenizer(folder);
      expect(() => tokenizer.encode("a")).toThrow(TokenizerError);
      expect(await tokenizer.encodeAsync("ab")).toEqual([0, 1]);
      expect(tokenizer.decode([0, 1])).toBe("ab");
      let ticks = 0;
      const timer = setInterval(() => ticks++, 20);
      try {
        await expect(tokenizer.encodeAsync(LONG)).rejects.toMatchObject({
          code: "too-slow",
          message: expect.stringMatching(/tokenizer\.json takes more than 2\.0 s for this text/),
        });
      } finally {
        clearInterval(timer);
      }
      expect(ticks).toBeGreaterThan(5);
      expect(await tokenizer.encodeAsync("ba")).toEqual([1, 0]);
    },
  );

  it(
    "refuses texts for which no worker has time, while it encodes others",
    { tags: "long", timeout: 60_000 },
    async () => {
      const tokenizer = await parseTokenizer(ENDLESS, "x.json");
      const asked = await Promise.allSettled(Array.from({ length: 40 }, () => tokenizer.encodeAsync(LONG)));
      const codes = asked.map((one) => (one.status === "rejected" ? (one.reason as TokenizerError).code : "encoded"));
      expect(new Set(codes)).toEqual(new Set(["too-slow", "busy"]));
      expect(codes.slice(0, 2)).toEqual(["too-slow", "too-slow"]);
      expect(await tokenizer.encodeAsync("ab")).toEqual([0, 1]);
    },
  );

  it("is left when its caller stops waiting", async () => {
    const tokenizer = await parseTokenizer(ENDLESS, "x.json");
    const stop = new AbortController();
    const encoded = tokenizer.encodeAsync(LONG, { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(encoded).rejects.toThrow("enough");
  });
});

it("a tokenizer whose worker is refused its files says what they lack", async () => {
  const json = tokenizerJson({ pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+(" } } });
  await expect(parseTokenizer(json, "x.json")).rejects.toMatchObject({ code: "bad-tokenizer" });
});

it("a decoder may repeat nothing, nor make tokens longer and longer", async () => {
  for (const [decoder, why] of [
    [{ type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" }, "a decoder's pattern must not repeat"],
    [
      {
        type: "Sequence",
        decoders: Array.from({ length: 30 }, () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" })),
      },
      "the decoders lengthen tokens without limit",
    ],
  ] as const)
    await expect(parseHere(tokenizerJson({ decoder }), "x.json")).rejects.toThrow(why);
  const longer = (part: object): object => ({ type: "Sequence", decoders: Array.from({ length: 6 }, () => part) });
  for (const decoder of [
    longer({ type: "Replace", pattern: { Regex: "a|" }, content: "y" }),
    longer({ type: "Metaspace", replacement: "" }),
    longer({ type: "BPEDecoder" }),
    longer({ type: "CTC", cleanup: true }),
    longer({ type: "Replace", pattern: { String: "ab" }, content: "$&$&" }),
  ])
    await expect(parseHere(tokenizerJson({ decoder }), "x.json"), JSON.stringify(decoder)).rejects.toThrow(
      "without limit",
    );
  const around = { type: "Replace", pattern: { String: "a" }, content: "$`" };
  await expect(parseHere(tokenizerJson({ decoder: around }), "x.json")).rejects.toThrow("the text around a match");
});

/** The library reads it as a WordPiece if it has a prefix. */
const WORDS = { type: "WordLevel", vocab: { a: 0, "[UNK]": 1, ["b".repeat(2040)]: 2 }, unk_token: "[UNK]" };

it("parts that make texts longer and longer are not vouched for, nor long added tokens", async () => {
  const replace = (pattern: object, content: string): object => ({ type: "Replace", pattern, content });
  const normalizer = (...normalizers: readonly object[]): object => ({ normalizer: { type: "Sequence", normalizers } });
  const times = (n: number, part: object): readonly object[] => Array.from({ length: n }, () => part);
  const before = { type: "Metaspace", replacement: "x", str_rep: "y" };
  const split = { type: "Split", pattern: { Regex: "[^x]" }, behavior: "Isolated" };
  const preTokenizer = (...pretokenizers: readonly object[]): object => ({
    pre_tokenizer: { type: "Sequence", pretokenizers },
  });
  const added = [{ id: 90, content: "<", special: true }];
  const processors = Array.from({ length: 6 }, () => ({
    type: "Sequence",
    processors: times(6, { type: "ByteLevel" }),
  }));
  for (const [parts, why] of [
    [normalizer(...times(8, replace({ Regex: "x*" }, "y"))), "without limit"],
    [normalizer(replace({ String: "ab" }, "$&$&"), ...times(3, replace({ String: "ab" }, "$&$&"))), "lengthen"],
    [normalizer(replace({ String: "a" }, "$`")), "repeat the text around them"],
    [normalizer(...times(2, replace({ String: " " }, "\ufdfa")), { type: "NFKD" }), "without limit"],
    [{ ...normalizer(...times(2, { type: "Prepend", prepend: "p".repeat(40) })), added_tokens: added }, "lengthen"],
    [preTokenizer(split, ...times(9, before)), "without limit"],
    [preTokenizer({ type: "Metaspace", replacement: "_".repeat(65) }), "its replacement has 65 characters"],
    [preTokenizer({ ...split, pattern: { Regex: "a{0,40}a{0,40}b" } }), "its patterns together take long"],
    [{ added_tokens: [{ id: 90, content: "<".repeat(257) }] }, "an added token of 257 characters"],
    [
      { model: { ...WORDS, continuing_subword_prefix: "##", max_input_chars_per_word: 1e9 } },
      "it has a piece of 2040 characters",
    ],
    [{ post_processor: { type: "Sequence", processors } }, "many post_processors"],
  ] as const)
    await expect(parseHere(tokenizerJson(parts), "x.json"), JSON.stringify(parts)).rejects.toMatchObject({
      code: "too-slow",
      message: expect.stringContaining(why),
    });
  for (const parts of [
    normalizer(replace({ Regex: " {2,}" }, " "), replace({ String: "``" }, '"'), { type: "Prepend", prepend: "▁" }),
    preTokenizer({ type: "WhitespaceSplit" }, { type: "Metaspace", replacement: "▁" }),
    { added_tokens: [{ id: 90, content: "<|begin|>" }] },
  ])
    expect((await parseHere(tokenizerJson(parts), "x.json")).idOf("a")).toBe(0);
});

it("added tokens that take long to normalize are not, and those that a configuration lists take no time", async () => {
  const normalizers = Array.from({ length: 24 }, () => ({ type: "Replace", pattern: { Regex: "a+b" }, content: "b" }));
  const normalizer = { type: "Sequence", normalizers };
  const tokens = (n: number, normalized: boolean): readonly object[] =>
    Array.from({ length: n }, (_, i) => ({
      id: 100 + i,
      content: `${"a".repeat(249)}${String(i).padStart(6, "0")}`,
      normalized,
    }));
  const used = processorTime();
  await expect(
    parseHere(tokenizerJson({ normalizer, added_tokens: tokens(4000, true) }), "x.json"),
  ).rejects.toMatchObject({ code: "too-slow", message: expect.stringContaining("added tokens together take long") });
  const apart = await parseTokenizer(tokenizerJson({ normalizer, added_tokens: tokens(20, true) }), "x.json");
  expect(await apart.encodeAsync("ab")).toEqual([1]);
  await parseHere(tokenizerJson({ normalizer, added_tokens: tokens(4000, false) }), "x.json");
  const additional = Array.from({ length: 60_000 }, (_, i) => `<t${i}>`);
  const config = JSON.stringify({ additional_special_tokens: additional });
  const added_tokens = [{ id: 90, content: "<t1>", special: true }];
  const listed = await parseHere(tokenizerJson({ added_tokens }), "x.json", config);
  expect([listed.isSpecial(90), listed.decode([0, 90]), listed.idOf("<t2>")]).toEqual([true, "a", null]);
  // It is twenty seconds where the library does all of this.
  expect(used()).toBeLessThan(6);
});

it("Unigram reads texts as the library does", async () => {
  const vocab: readonly (readonly [string, number])[] = [
    ["<unk>", -9],
    ["a", -1.5],
    ["ab", -2],
    ["b", -3],
    ["bca", -2.25],
    ["c", -1],
    ["😀", -4],
    ["abc", -3],
    ["xx", -20],
  ];
  const json = tokenizerJson({ model: { type: "Unigram", unk_id: 0, vocab }, decoder: null });
  const library = new Library(JSON.parse(json) as object, {});
  const tokenizer = await parseHere(json, "x.json");
  const rng = random(6);
  for (let round = 0; round < 500; round++) {
    const text = Array.from(
      { length: 1 + rng.below(9) },
      () => ["a", "b", "c", "😀", "x", "中", "<unk>"][rng.below(7)],
    );
    expect(tokenizer.encode(text.join("")), text.join("")).toEqual(library.encode(text.join("")).ids);
  }
});

it("unknown text, long pieces and many added tokens take linear time", { tags: "long" }, async () => {
  const vocab = [["<unk>", -99], ...Array.from({ length: 64 }, (_, i) => ["a".repeat(i + 1), i / 9 - 64])];
  const scored = await parseHere(tokenizerJson({ model: { type: "Unigram", unk_id: 0, vocab } }), "x.json");
  const added_tokens = Array.from({ length: 65_000 }, (_, i) => ({ id: 100 + i, content: `<${i}>` }));
  const bytes = await parseHere(tokenizerJson({ added_tokens, decoder: { type: "ByteLevel" } }), "x.json");
  const before = process.cpuUsage();
  expect(scored.encode("a".repeat(65_536))).toHaveLength(1024);
  expect(scored.encode("中".repeat(65_536))).toEqual([0]);
  expect(bytes.decode(Array.from({ length: 4096 }, (_, i) => (i % 2 === 0 ? i % 28 : 100 + i)))).toMatch(/^a<1>c<3>/);
  // By the square of the text, and with a comparison for each added token, it is half a minute.
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(8);
});

it("WordPiece reads words as the library does, and long ones in little time", async () => {
  const vocab = { "[UNK]": 0, a: 1, ab: 2, "##b": 3, "##bc": 4, c: 5, "##a": 6, "😀": 7, "##😀": 8 };
  const config = { type: "WordPiece", vocab, unk_token: "[UNK]", continuing_subword_prefix: "##" };
  const parts = JSON.parse(tokenizerJson({ model: { ...config, max_input_chars_per_word: 6 } })) as object;
  const library = new Library(parts, {});
  const model = Reflect.get(library, "model") as WordPieceModel;
  const rng = random(4);
  for (let round = 0; round < 500; round++) {
    const word = Array.from({ length: 1 + rng.below(7) }, () => ["a", "b", "c", "😀", "x"][rng.below(5)]).join("");
    expect(
      wordPieces(model, [word], 5, () => {}),
      word,
    ).toEqual(model.encode([word]));
  }
  const large = tokenizerJson({ model: { ...config, max_input_chars_per_word: 1e9 } });
  const tokenizer = await parseHere(large, "x.json");
  expect(tokenizer.encode("a".repeat(20_000))).toHaveLength(20_000);
});

it("a long chat is formatted as here, in a worker", { tags: "long" }, async () => {
  const folder = join(temporary, "chat");
  mkdirSync(folder);
  writeFileSync(join(folder, "tokenizer.json"), tokenizerJson({}));
  writeFileSync(
    join(folder, "chat_template.jinja"),
    "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}",
  );
  const { chat } = await openTokenizer(folder);
  const messages = Array.from({ length: 400 }, (_, i) => ({ role: "user", content: `a${i}` }));
  expect(await chat!.promptAsync(messages)).toBe(chat!.prompt(messages));
  writeFileSync(
    join(folder, "chat_template.jinja"),
    "{% for i in range(60000) %}{% endfor %}{{ messages[0].content }}",
  );
  const slow = (await openTokenizer(folder)).chat!;
  expect(await slow.promptAsync(messages.slice(0, 1))).toBe("a0");
  writeFileSync(join(folder, "chat_template.jinja"), "{% for i in range(9000000) %}{% endfor %}");
  await expect((await openTokenizer(folder)).chat!.promptAsync(messages)).rejects.toMatchObject({
    code: "bad-template",
  });
});
