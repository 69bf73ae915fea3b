// Texts that go on: characters of tokens as they come, and stop strings, held against the tokens of the same generation
// decoded at once.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  ByteText,
  createGenerator,
  generateText,
  type GeneratedText,
  type Generator,
  type TextCodec,
  type TokenDecoder,
} from "../../../src/generation/generate/index.js";
import { type Device, initialWeights } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { MODELS } from "./models.js";

let device: Device;
let generator: Generator;
beforeAll(async () => {
  device = await sparingDevice();
  const { generation } = compileGeneration(MODELS["dense"]!, { target: device.target, set: { vocab: 256 } });
  generator = await createGenerator(generation!, device, (w) => initialWeights(3)(w).map((v) => 6 * v));
});
afterAll(() => {
  generator.dispose();
  device.destroy();
});

/** Bytes that are whole or cut characters, or none: some of one, two, three and four bytes. */
const PIECES = ["a", "ß", "–", "🐋", "b\n"].map((c) => [...new TextEncoder().encode(c)]).concat([[0xff], [0xe2, 0x82]]);

class Bytes implements TokenDecoder {
  readonly #text = new ByteText();
  add(token: number): string {
    return this.#text.push([token]);
  }
  finish(): string {
    return this.#text.end();
  }
}
const bytes: TextCodec = { encode: (text) => new TextEncoder().encode(text), decoder: () => new Bytes() };

/** Tokens are pieces of text, drawn anew for each seed: those that a generation draws are spread evenly. */
function pieces(seed: number): TextCodec & { readonly textOf: (tokens: readonly number[]) => string } {
  const rng = random(seed);
  const table = Array.from({ length: 256 }, () => PIECES[rng.below(PIECES.length)]!);
  const decoder = (): TokenDecoder => {
    const text = new ByteText();
    return { add: (token) => text.push(table[token]!), finish: () => text.end() };
  };
  return {
    ...bytes,
    decoder,
    textOf: (tokens) => new TextDecoder("utf-8").decode(Uint8Array.from(tokens.flatMap((t) => table[t]!))),
  };
}

const PROMPTS = ["Call me", [1, 2, 3], "x"];
const SAMPLING = { temperature: 3, seed: 12 };

async function all(codec: TextCodec, options: Parameters<typeof generateText>[3] = {}): Promise<GeneratedText[][]> {
  const found: GeneratedText[][] = PROMPTS.map(() => []);
  for await (const event of generateText(generator, codec, PROMPTS, { maxTokens: 16, sampling: SAMPLING, ...options }))
    found[event.sequence]!.push(event);
  return found;
}
const textOf = (events: readonly GeneratedText[]): string => events.map((e) => e.text).join("");
const tokensOf = (events: readonly GeneratedText[]): number[] => events.map((e) => e.token);

describe("a text that goes on", () => {
  it("is what its tokens together are, character by character, sequence by sequence", async () => {
    for (const seed of [1, 2, 3]) {
      const codec = pieces(seed);
      const found = await all(codec);
      for (const events of found) {
        expect(events).toHaveLength(16);
        expect(textOf(events)).toBe(codec.textOf(tokensOf(events)));
        // Nothing waits that is complete.
        events.forEach((_, i) =>
          expect(codec.textOf(tokensOf(events).slice(0, i + 1)).startsWith(textOf(events.slice(0, i + 1)))).toBe(true),
        );
      }
    }
    // Prompts that are texts are the codec's tokens.
    const direct: number[] = [];
    const tokens = PROMPTS.map((p) => (typeof p === "string" ? new TextEncoder().encode(p) : p));
    for await (const { sequence, token } of generator.generate(tokens, { maxTokens: 16, sampling: SAMPLING }))
      if (sequence === 0) direct.push(token);
    expect(tokensOf((await all(bytes))[0]!)).toEqual(direct);
  });

  it("ends before a stop string, which later tokens may complete; other sequences go on", async () => {
    const codec = pieces(4);
    const free = await all(codec);
    const whole = textOf(free[1]!);
    // In the middle of the text, across tokens.
    const stop = whole.slice(5, 9);
    const found = await all(codec, { stop: ["no such text", stop] });
    for (const [b, events] of found.entries()) {
      const at = textOf(free[b]!).indexOf(stop);
      expect(textOf(events)).toBe(at < 0 ? textOf(free[b]!) : textOf(free[b]!).slice(0, at));
      expect(events.at(-1)!.finish).toBe(at < 0 ? "length" : "stop");
      expect(tokensOf(events)).toEqual(tokensOf(free[b]!).slice(0, events.length));
      expect(events.slice(0, -1).every((e) => e.finish === null)).toBe(true);
    }
    expect(found[1]!.length).toBeLessThan(16);
    expect(await all(codec, { stop }), "one string is one, not its characters").toEqual(found);
    // What is held back at the end is text.
    const last = await all(codec, { stop: [`${textOf(free[0]!).slice(-2)} and more`] });
    expect(textOf(last[0]!)).toBe(textOf(free[0]!));
  });

  it("ends without the token that ends texts, which options may replace; and where the caller says", async () => {
    const codec = pieces(5);
    const free = await all(codec);
    const end = tokensOf(free[2]!)[6]!;
    const ended = await all({ ...codec, ends: [end] });
    const at = tokensOf(free[2]!).indexOf(end);
    expect(tokensOf(ended[2]!)).toEqual(tokensOf(free[2]!).slice(0, at + 1));
    expect(ended[2]!.at(-1)!.finish).toBe("end");
    expect(textOf(ended[2]!)).toBe(codec.textOf(tokensOf(free[2]!).slice(0, at)));
    expect(tokensOf((await all({ ...codec, ends: [end] }, { ends: [] }))[2]!)).toEqual(tokensOf(free[2]!));
    const told: number[] = [];
    const until = await all(codec, { until: (sequence, token) => sequence === 0 && told.push(token) === 4 });
    expect([until[0]!.length, until[0]!.at(-1)!.finish]).toEqual([4, "stop"]);
    expect(tokensOf(until[0]!)).toEqual(told);
    expect(textOf(until[0]!)).toBe(codec.textOf(told));
  });

  it("is decoded behind the tokens of its prompt", async () => {
    const codec = pieces(7);
    const told: number[][] = [];
    await all({ ...codec, decoder: (prompt) => (told.push(Array.from(prompt)), codec.decoder(prompt)) });
    expect(told).toEqual(PROMPTS.map((prompt) => (typeof prompt === "string" ? [...Buffer.from(prompt)] : prompt)));
  });

  it("leaves the generator to others when its caller leaves, or when there are no characters for a token", async () => {
    const codec = pieces(6);
    const wanted = (await all(codec)).map(tokensOf);
    for await (const _ of generateText(generator, codec, PROMPTS, { maxTokens: 16 })) break;
    let count = 0;
    const broken: TextCodec = {
      ...codec,
      decoder: () => ({
        add: () => {
          if (++count === 5) throw new RangeError("no such token");
          return "";
        },
        finish: () => "",
      }),
    };
    await expect(all(broken)).rejects.toThrow("no such token");
    await expect(all(codec, { stop: [""] })).rejects.toThrow(/at least one character/);
    expect((await all(codec)).map(tokensOf)).toEqual(wanted);
  });
});

describe("from JavaScript", () => {
  const codec: TextCodec = {
    encode: (text) => new TextEncoder().encode(text),
    decoder: () => new Bytes(),
  };
  const drained = async (tokens: AsyncIterable<{ readonly token: number }>): Promise<readonly number[]> => {
    const ids: number[] = [];
    for await (const { token } of tokens) ids.push(token);
    return ids;
  };
  const most = { maxTokens: 3 };

  it("one text is a prompt as a list of it is", async () => {
    expect(await drained(generateText(generator, codec, "Call me", most))).toEqual(
      await drained(generateText(generator, codec, ["Call me"], most)),
    );
  });

  // as code without types may give it
  const wrong = (value: unknown): never => value as never;
  it.each<[string, string, () => AsyncIterable<{ readonly token: number }>]>([
    ["codec", "generateText is not a codec", () => generateText(generator, wrong("Call me"), ["a"])],
    ["codec", "generateText is not a codec", () => generateText(generator, wrong(undefined), ["a"])],
    ["prompts", "must be a list, found a value of type number", () => generateText(generator, codec, wrong(7))],
    ["prompts", "must be a list, found null", () => generateText(generator, codec, wrong(null))],
    ["prompts", "found a value of type number", () => generateText(generator, codec, wrong([1, 2]))],
    ["options", "must be an object, found null", () => generateText(generator, codec, ["a"], wrong(null))],
    ["stop", "a text or a list of texts", () => generateText(generator, codec, ["a"], wrong({ stop: 7 }))],
    ["prompts", "must be a list, found a value of type string", () => generator.generate(wrong("Call me"))],
    ["prompts", "found null", () => generator.generate(wrong([null]))],
    ["ends", "must be a list of tokens", () => generator.generate([[1]], wrong({ ends: 2 }))],
    ["signal", "must be an AbortSignal", () => generator.generate([[1]], wrong({ signal: new AbortController() }))],
    ["sampling", "must be an object", () => generator.generate([[1]], wrong({ ...most, sampling: [null] }))],
  ])("a wrong value of %s is refused by name: %s", async (input, message, generate) => {
    await expect(drained(generate())).rejects.toMatchObject({
      name: "InputError",
      input,
      message: expect.stringContaining(message),
    });
  });

  it("what is no generation or no device is refused by name", async () => {
    await expect(createGenerator(wrong(null), device)).rejects.toMatchObject({
      name: "InputError",
      input: "generation",
    });
    await expect(createGenerator(generator.generation, wrong({}))).rejects.toMatchObject({
      name: "InputError",
      input: "device",
    });
  });
});
