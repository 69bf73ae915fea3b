// Sessions: a file or folder that goes on from texts, held against the generator that they are made of.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  createGenerator,
  type GeneratedText,
  type GenerateTextOptions,
  type Generator,
} from "../../../src/generation/generate/index.js";
import type { Device } from "../../../src/runtime/index.js";
import {
  openSession,
  type OpenSessionOptions,
  type Prompts,
  type TextSession,
} from "../../../src/tools/session/index.js";
import { sparingDevice } from "../../device.js";
import { SPECIAL, TOKENIZER, wordsOf, writeTextFolder } from "./folder.js";

const examples = join(import.meta.dirname, "../../../examples");
const folder = mkdtempSync(join(tmpdir(), "modc-session-"));
let words: readonly string[];
let device: Device;
let moby: TextSession;
let chat: TextSession;
beforeAll(async () => {
  words = writeTextFolder(
    folder,
    { eos_token_id: SPECIAL.end, do_sample: true, temperature: 2, top_k: 0, max_new_tokens: 7, num_beams: 2 },
    5,
  );
  device = await sparingDevice();
  moby = await openSession(join(examples, "moby.mod"), { weights: join(examples, "moby.safetensors"), device });
  chat = await openSession(folder, { device });
});
afterAll(() => {
  moby.dispose();
  chat.dispose();
  device.destroy();
  rmSync(folder, { recursive: true });
});

async function all(session: TextSession, prompt: Prompts, options: GenerateTextOptions = {}): Promise<GeneratedText[]> {
  const events: GeneratedText[] = [];
  for await (const event of session.generate(prompt, options)) events.push(event);
  return events;
}
const textOf = (events: readonly GeneratedText[], sequence = 0): string =>
  events
    .filter((e) => e.sequence === sequence)
    .map((e) => e.text)
    .join("");
const tokensOf = (events: readonly GeneratedText[]): number[] => events.map((e) => e.token);
async function tokens(
  generator: Generator,
  prompts: readonly ArrayLike<number>[],
  options: GenerateTextOptions,
): Promise<number[]> {
  const found: number[] = [];
  for await (const { token } of generator.generate(prompts, options)) found.push(token);
  return found;
}

describe("a session", () => {
  it("goes on from a text, several, or tokens, as its generator does", { tags: "long" }, async () => {
    const { generation } = compileGeneration(readFileSync(join(examples, "moby.mod"), "utf8"), {
      target: device.target,
    });
    const generator = await createGenerator(generation!, device, join(examples, "moby.safetensors"));
    const bytes = new TextEncoder().encode("It was the w");
    const wanted = await tokens(generator, [bytes], { maxTokens: 24 });
    generator.dispose();
    const one = await all(moby, "It was the w", { maxTokens: 24 });
    expect(tokensOf(one)).toEqual(wanted);
    expect(textOf(one)).toBe(new TextDecoder().decode(Uint8Array.from(wanted)));
    expect(tokensOf(await all(moby, bytes, { maxTokens: 24 }))).toEqual(wanted);
    const several = await all(moby, { prompts: ["Call me", bytes, [...bytes]] }, { maxTokens: 24 });
    expect([1, 2].map((b) => textOf(several, b))).toEqual([textOf(one), textOf(one)]);
    expect([moby.summary!.promptTokens, moby.summary!.generatedTokens]).toEqual([7 + 12 + 12, 72]);
    expect(moby.name).toBe("Moby");
  });

  it("stops where its signal says, with what was said, and goes on afterwards", async () => {
    const stop = new AbortController();
    const said: string[] = [];
    const run = (async () => {
      for await (const { text } of moby.generate("It was the w", { signal: stop.signal }))
        if (said.push(text) === 9) stop.abort();
    })();
    await expect(run).rejects.toThrow(expect.objectContaining({ name: "AbortError" }) as Error);
    expect(moby.summary!.generatedTokens).toBe(said.length);
    expect(textOf(await all(moby, "It was the w", { maxTokens: said.length }))).toBe(said.join(""));
  });

  it("of a folder reads by its tokenizer and its template, and chooses as its configuration says", async () => {
    const drawn = await all(chat, "the white whale");
    expect(drawn.length).toBeLessThanOrEqual(7);
    const direct = await all(chat, [SPECIAL.begin, ...wordsOf("the white whale")]);
    expect(tokensOf(direct)).toEqual(tokensOf(drawn));
    // WordLevel decodes to words with blanks between them, also behind the prompt; what ends a text is not shown.
    const shown = tokensOf(drawn).filter((t) => t > SPECIAL.end);
    expect(textOf(drawn)).toBe(shown.map((t) => ` ${words[t]}`).join(""));
    const messages = [
      { role: "system", content: "be brief" },
      { role: "user", content: "the sea" },
    ];
    const answered = await all(chat, messages);
    expect(tokensOf(answered)).toEqual(
      tokensOf(await all(chat, [SPECIAL.begin, ...wordsOf("system: be brief user: the sea")])),
    );
    // What the caller says comes before the configuration, each option by itself.
    const greedy = await all(chat, "the sea", { sampling: { temperature: 0 }, maxTokens: 3 });
    expect(tokensOf(greedy)).toEqual(tokensOf(await all(chat, "the sea", { sampling: { topK: 1 }, maxTokens: 3 })));
    expect(chat.texts.defaults.ignored).toEqual(["num_beams = 2"]);
    const other = await all(
      chat,
      { prompts: ["the sea", "the sea"] },
      { sampling: [{ temperature: 0 }, { seed: 9 }], maxTokens: 3 },
    );
    expect(tokensOf(other.filter((e) => e.sequence === 0))).toEqual(tokensOf(greedy));
  });

  it("ends with the token that ends texts, which is not shown", async () => {
    const always = await all(chat, "the sea", { sampling: { logitBias: { [SPECIAL.end]: 1e5 } } });
    expect(always.map(({ token, text, finish }) => ({ token, text, finish }))).toEqual([
      { token: SPECIAL.end, text: "", finish: "end" },
    ]);
  });
});

it("gives a token that the tokenizer lacks no text, as transformers does, and goes on", async () => {
  const asked = { sampling: [{ temperature: 0, logitBias: { 95: 1e5 } }], maxTokens: 3 };
  expect(textOf(await all(chat, "the sea", asked))).toContain(words[95]);
  const { vocab, ...model } = TOKENIZER.model;
  const fewer = { ...TOKENIZER, model: { ...model, vocab: Object.fromEntries(Object.entries(vocab).slice(0, 95)) } };
  writeFileSync(join(folder, "fewer.json"), JSON.stringify(fewer));
  const session = await openSession(folder, { device, tokenizer: join(folder, "fewer.json") });
  const events = await all(session, "the sea", asked);
  expect([events.map(({ token }) => token), textOf(events)]).toEqual([[95, 95, 95], ""]);
  session.dispose();
});

describe("what is refused", () => {
  const refused = (promise: Promise<unknown>, name: string, message: RegExp): Promise<void> =>
    expect(promise).rejects.toThrow(
      expect.objectContaining({ name, message: expect.stringMatching(message) as string }) as Error,
    );

  it("prompts: empty, beyond the context, no tokens, and chats without a template or against it", async () => {
    await refused(all(moby, ""), "InputError", /the prompt is empty/);
    await refused(all(moby, { prompts: [] }), "InputError", /there is no prompt/);
    await refused(all(moby, []), "InputError", /the prompt is empty/);
    await refused(all(moby, { prompts: ["a", ""] }), "InputError", /prompt 1 is empty/);
    await refused(all(moby, "x".repeat(257)), "InputError", /the prompt has 257 tokens, the model reads at most 256/);
    await refused(all(moby, [300]), "InputError", /token 0 of the prompt is 300: .* from 0 to 255/);
    await refused(all(moby, [{ role: "user", content: "a" }]), "SessionError", /no chat template/);
    await refused(
      all(chat, [{ role: "user", content: "nothing" }]),
      "TokenizerError",
      /refuses the messages: nothing is no message/,
    );
    await refused(all(moby, "a", { stop: [""] }), "InputError", /at least one character/);
    await refused(all(moby, "a", { maxToken: 3 } as never), "InputError", /there is no option maxToken/);
    for (const wrong of [undefined, null, 42, {}])
      await refused(all(moby, wrong as never), "InputError", /a prompt is a text, a list of tokens or of messages/);
    await refused(all(moby, "a", { sampling: { logitBias: { 256: 1 } } }), "InputError", /tokens from 0 to 255/);
  });

  it("models: with errors, without logits, that look ahead, without a tokenizer for their tokens, and none at all", async () => {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const open = (name: string, text: string): Promise<unknown> => openSession(file(name, text), { device });
    await refused(
      open("a.mod", "model A() { forward(x: f32[B, T]) -> f32[B, T] { y } }"),
      "SourceError",
      /a\.mod:1:\d+: error\[unknown-name\]/,
    );
    await refused(
      open("b.mod", "model B() { forward(x: f32[B, T]) -> f32[B, T] { x } }"),
      "GenerationError",
      /has an input u32\[B, T\], its tokens/,
    );
    const whole = `import { Embedding } from "std"
model C(vocab: int = 256) {
  embed: Embedding(vocab, 8)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = embed(tokens)
    chosen = top(x[..., 0], 2)
    put(x, chosen, take(x, chosen)) @ transpose(embed.table)
  }
}`;
    await refused(open("c.mod", whole), "SourceError", /non-causal-choice/);
    const plain = `import { Embedding } from "std"
model D(vocab: int = 300) {
  embed: Embedding(vocab, 8)
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] { embed(tokens) @ transpose(embed.table) }
}`;
    await refused(open("d.mod", plain), "SessionError", /has 300 tokens but no tokenizer/);
    const wide: OpenSessionOptions & { readonly temperature?: number } = { device, temperature: 1 };
    await refused(openSession(join(folder, "d.mod"), wide), "SessionError", /there is no option temperature/);
    await refused(
      openSession(join(folder, "none.mod"), { device }),
      "SessionError",
      /cannot read .*none\.mod: there is no such file/,
    );
    const imported = file("e.mod", 'import { Missing } from "./elsewhere.mod"\n');
    await refused(openSession(imported, { device }), "SourceError", /import-not-found/);
  });
});
