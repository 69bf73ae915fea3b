// The tokens of a vocabulary that a form allows.
import { describe, expect, it } from "vitest";
import { Constraints, type Form } from "../../../src/generation/constrain/index.js";
import { bytesTokenizer, parseTokenizer, type Tokenizer } from "../../../src/models/tokenizer/index.js";
import { random } from "../../random.js";
import { has, machineOf } from "./walks.js";

const PERSON: Form = {
  kind: "schema",
  schema: {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name", "age"],
  },
};

/** Tokens of random bytes, of pieces of JSON, some alike, one special and one without text. */
function madeUp(): Tokenizer {
  const rng = random(2);
  const pieces = [
    '{"',
    "name",
    '":',
    ' "',
    "age",
    '","',
    '"}',
    "}",
    "12",
    "1",
    "12",
    "é",
    "\xff",
    "",
    "<end>",
    '{"name":"',
  ];
  const texts = [
    ...pieces.map((text) => [...new TextEncoder().encode(text)]),
    ...Array.from({ length: 256 }, (_, byte) => [byte]),
    ...Array.from({ length: 300 }, () => Array.from({ length: 2 + rng.below(3) }, () => rng.below(128))),
  ];
  return {
    ...bytesTokenizer,
    vocabulary: texts.length,
    isSpecial: (token) => token === 14,
    bytesOf: (token) => texts[token] ?? null,
    idOf: () => null,
  };
}

const bits = (tokens: Uint32Array): readonly number[] =>
  Array.from({ length: tokens.length * 32 }, (_, t) => t).filter((t) => (tokens[t >>> 5]! >>> (t & 31)) & 1);

describe("allowed tokens", () => {
  it("are those after which the text can go on", async () => {
    const tokenizer = madeUp();
    // The model has more tokens than the tokenizer.
    const vocabulary = tokenizer.vocabulary + 7;
    const make = await new Constraints(tokenizer, vocabulary).of(PERSON);
    const rng = random(9);
    for (let text = 0; text < 5; text++) {
      const own = make();
      const machine = machineOf(PERSON);
      let place = machine.start;
      for (let step = 0; step < 40; step++) {
        const { tokens, end } = own.next();
        const follows = (token: number): boolean => {
          let next: typeof place | null = place;
          for (const byte of tokenizer.bytesOf(token)!) next = next && machine.after(next, byte);
          return next !== null;
        };
        const wanted = Array.from({ length: tokenizer.vocabulary }, (_, t) => t).filter(
          (t) => t !== 14 && tokenizer.bytesOf(t)!.length > 0 && follows(t),
        );
        expect(bits(tokens)).toEqual(wanted);
        expect(end).toBe(place.end);
        if (wanted.length === 0) break;
        const token = wanted[rng.below(wanted.length)]!;
        for (const byte of tokenizer.bytesOf(token)!) place = machine.after(place, byte)!;
        expect(own.add(token)).toBe(place.end && place.stacks.length === 0);
      }
    }
  });

  it("of one form are found once, and texts of it are apart", async () => {
    const constraints = new Constraints(bytesTokenizer, 256);
    const [make, again] = [await constraints.of(PERSON), await constraints.of({ ...PERSON })];
    const [a, b] = [make(), again()];
    expect(a.next().tokens).toBe(b.next().tokens);
    a.add(0x7b);
    expect(bits(b.next().tokens)).toEqual([0x7b]);
    expect(a.next().tokens).not.toBe(b.next().tokens);
  });

  it("begin with a blank where a decoder drops it from the front of a text", async () => {
    const file = {
      model: {
        type: "BPE",
        vocab: { "<unk>": 0, "▁": 1, "▁a": 2, a: 3, b: 4, ".": 5 },
        merges: ["▁ a"],
        unk_token: "<unk>",
      },
      added_tokens: [{ id: 0, content: "<unk>", special: true }],
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
    };
    const tokenizer = await parseTokenizer(JSON.stringify(file), "made up");
    const constraints = new Constraints(tokenizer, 6);
    const allowed = async (grammar: string) =>
      bits((await constraints.of({ kind: "grammar", grammar }))().next().tokens);
    expect(await allowed('root ::= " a"')).toEqual([1, 2]);
    expect(await allowed('root ::= "ab"')).toEqual([3]);
  });

  it("of a text that no token can go on are refused", async () => {
    const few: Tokenizer = { ...bytesTokenizer, vocabulary: 60 };
    const make = await new Constraints(few, 60).of({ kind: "choice", choices: ["1a"] });
    const own = make();
    own.add(0x31);
    expect(() => own.next()).toThrow("no token");
    expect(() => own.add(0x31)).toThrow("token 49 came, which is not allowed here");
  });

  it("keep to a form of any length", async () => {
    const constraints = new Constraints(bytesTokenizer, 256);
    await expect(
      constraints.of({ kind: "grammar", grammar: `# ${"x".repeat(300_000)}\nroot ::= "a"` }),
    ).rejects.toThrow("characters");
    expect(has(machineOf({ kind: "object" }), '{"a": [1, {"b": null}]}')).toBe(true);
  });
});
