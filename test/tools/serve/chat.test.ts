// `/v1/chat/completions` by its replies, whole and as a stream.
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../../../src/models/tokenizer/errors.js";
import type { Tokenizer } from "../../../src/models/tokenizer/index.js";
import { random } from "../../random.js";
import { ask, bytes, eventsOf, scripted } from "./asked.js";
import { scoreOf } from "./scripted-engine.js";

const PATH = "/v1/chat/completions";
const messages = [
  { role: "system", content: "Be brief." },
  {
    role: "user",
    content: [
      { type: "text", text: "Who" },
      { type: "text", text: " are you?" },
    ],
  },
];

describe("a chat", () => {
  it("is answered in OpenAI's form, by the template", async () => {
    const { server, engine } = scripted("Ishmael. ");
    const { status, json } = await ask(server, PATH, { model: "moby", messages, max_completion_tokens: 7 });
    expect(status).toBe(200);
    expect(json).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: "chat.completion",
      created: expect.any(Number),
      model: "moby",
      system_fingerprint: "modc",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Ishmael", refusal: null },
          logprobs: null,
          finish_reason: "length",
        },
      ],
      usage: {
        prompt_tokens: 46,
        completion_tokens: 7,
        total_tokens: 53,
        prompt_tokens_details: { cached_tokens: 1 },
      },
    });
    expect(engine.requests[0]!.prompt).toEqual(bytes("<system>Be brief.<user>Who are you?<assistant>"));
  });

  it("takes as many tokens as the context has room for", async () => {
    const { json } = await ask(scripted("x".repeat(99)).server, PATH, { messages });
    expect(json.usage.total_tokens).toBe(65); // the last one is not read
  });

  it("reads `developer` as the word that templates know", async () => {
    const { server, engine } = scripted("x");
    await ask(server, PATH, { messages: [{ role: "developer", content: "a" }, ...messages.slice(1)] });
    expect(engine.requests[0]!.prompt).toEqual(bytes("<system>a<user>Who are you?<assistant>"));
  });

  it.each([
    ["no messages", [], "messages"],
    ["messages that are a text", "hello", "messages"],
    ["a message that is a number", [1], "messages[0]"],
    ["a message without a role", [{ content: "a" }], "messages[0].role"],
    ["an unknown role", [{ role: "function", content: "a" }], "messages[0].role"],
    ["no content", [{ role: "user" }], "messages[0].content"],
    ["content that is null", [{ role: "user", content: null }], "messages[0].content"],
    ["a picture", [{ role: "user", content: [{ type: "image_url", image_url: {} }] }], "messages[0].content[0].type"],
    ["an answer to go on from", [{ role: "assistant", content: "I" }], "messages"],
    ["broken calls of tools", [{ role: "assistant", content: "I", tool_calls: [{}] }], "messages[0].tool_calls[0].id"],
  ])("refuses %s by its place", async (_, wrong, param) => {
    const { status, json } = await ask(scripted("x").server, PATH, { messages: wrong });
    expect([status, json.error.type]).toEqual([400, "invalid_request_error"]);
    expect(json.error.param).toBe(param);
  });

  it("is refused where the model has no template", async () => {
    const { status, json } = await ask(scripted("x", { chat: null }).server, PATH, { messages });
    expect([status, json.error.code]).toEqual([400, "no_chat_template"]);
  });

  it("has log-probabilities whose texts together are the answer's", async () => {
    const { server } = scripted("grün! And more", { defaults: { ends: [33], maxTokens: null, sampling: {} } });
    const { json } = await ask(server, PATH, { messages, logprobs: true, top_logprobs: 2 });
    const { message, logprobs } = json.choices[0];
    expect(message.content).toBe("grün");
    expect(logprobs.content.map(({ token }: { token: string }) => token)).toEqual(["g", "r", "", "ü", "n"]);
    const g = scoreOf(103, 2).logprob;
    expect(logprobs.content[0]).toEqual({
      token: "g",
      logprob: g,
      bytes: [103],
      top_logprobs: [
        { token: "g", logprob: g, bytes: [103] },
        { token: "h", logprob: g - 1, bytes: [104] },
      ],
    });
    // Of a part of a character, the bytes; the last byte's token has the character's text.
    expect(logprobs.content[2]).toMatchObject({ token: "", bytes: [195], top_logprobs: [{ bytes: [195] }, {}] });
    const plain = await ask(server, PATH, { messages, logprobs: true });
    expect(plain.json.choices[0].logprobs.content[0].top_logprobs).toEqual([]);
  });
});

describe("a stream of an answer", () => {
  it("begins with who speaks, and ends with why it ends", async () => {
    const { text } = await ask(scripted("Hi.").server, PATH, { messages, stream: true });
    const [id, created] = [/"id":"(chatcmpl-[0-9a-f]+)"/.exec(text)![1]!, /"created":(\d+)/.exec(text)![1]!];
    const chunk = (delta: string, finish = "null"): string =>
      `data: {"id":"${id}","object":"chat.completion.chunk","created":${created},"model":"moby",` +
      `"system_fingerprint":"modc","choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]}\n\n`;
    expect(text).toBe(
      chunk('{"role":"assistant","content":null}') +
        chunk('{"content":"H"}') +
        chunk('{"content":"i"}') +
        chunk('{"content":"."}') +
        chunk("{}", '"length"') +
        "data: [DONE]\n\n",
    );
  });

  it("holds back what may be a stop string, and its log-probabilities with it", async () => {
    const said = "a✓b, c. d";
    for (const stop of [undefined, ",", "b, x", ". d", "✓"]) {
      const body = { messages, logprobs: true, top_logprobs: 1, modc: { routes: true }, ...(stop && { stop }) };
      const whole = (await ask(scripted(said).server, PATH, body)).json.choices[0];
      const parts = eventsOf((await ask(scripted(said).server, PATH, { ...body, stream: true })).text).map(
        ({ choices }) => choices[0],
      );
      expect(parts.map(({ delta }) => delta.content ?? "").join("")).toBe(whole.message.content);
      expect(parts.flatMap(({ logprobs }) => logprobs?.content ?? [])).toEqual(whole.logprobs.content);
      expect(whole.logprobs.content.map(({ token }: { token: string }) => token).join("")).toBe(whole.message.content);
      expect(parts.flatMap(({ modc }) => modc?.tokens ?? [])).toEqual(whole.modc.tokens);
      expect(parts.at(-1).finish_reason).toBe(whole.finish_reason);
      // In a stream of log-probabilities no chunk of text is without them.
      for (const { delta, logprobs } of parts.slice(1, -1)) expect(Boolean(delta.content && !logprobs)).toBe(false);
    }
  });
});

describe("tokens of several characters", () => {
  it("are cut where a stop string begins within them, with the log-probability of the whole token", async () => {
    const tokenizer = piecesTokenizer(["a", "ab", "bc"].map((text) => bytes(text)));
    const { server } = scripted("", { tokenizer, script: { says: () => [0, 1, 2] } });
    for (const [stop, expected] of [
      ["b", ["a", "a"]],
      ["ab", ["a"]],
      ["bb", ["a", "a"]],
      ["c", ["a", "ab", "b"]],
      ["x", ["a", "ab", "bc"]],
    ] as const) {
      const body = { messages, logprobs: true, top_logprobs: 1, stop, modc: { routes: true } };
      const { message, logprobs, modc } = (await ask(server, PATH, body)).json.choices[0];
      expect([stop, message.content]).toEqual([stop, expected.join("")]);
      expect(modc.tokens.map(({ text }: { text: string }) => text)).toEqual(expected);
      expect(logprobs.content).toEqual(
        expected.map((token, i) => {
          const own = { token, bytes: bytes(token), logprob: scoreOf(i, 0).logprob };
          return { ...own, top_logprobs: [own] };
        }),
      );
    }
  });

  it("together are the text, whatever they are, in a stream as in a whole reply", { tags: "long" }, async () => {
    const rng = random(11);
    const some = <T>(of: readonly T[], n: number): T[] => Array.from({ length: n }, () => of[rng.below(of.length)]!);
    for (let round = 0; round < 200; round++) {
      // Partial characters, whole characters, and invalid bytes.
      const tokenizer = piecesTokenizer(
        Array.from({ length: 8 }, () => some([...bytes("aab\u00fc\u2713"), 0xff, 0xc3], rng.below(4))),
      );
      const said = some([...Array(9).keys()], 1 + rng.below(10)); // the tokenizer lacks the last
      const whole = tokenizer.decode(said.filter((token) => token < 8));
      const from = rng.below(whole.length);
      const stop = [whole.slice(from, from + 1 + rng.below(3)), "ab"].filter((text) => text !== "");
      const ends = rng.below(3) === 0 ? [said.at(-1)!] : [];
      const served = (): Parameters<typeof ask>[0] =>
        scripted("", {
          tokenizer,
          defaults: { ends, maxTokens: null, sampling: {} },
          script: { says: () => said },
        }).server;
      const body = { messages, logprobs: true, modc: { routes: true }, ...(rng.below(4) > 0 && { stop }) };
      const { message, logprobs, modc } = (await ask(served(), PATH, body)).json.choices[0];
      const texts = logprobs.content.map(({ token }: { token: string }) => token);
      expect(texts.join(""), String(said)).toBe(message.content);
      expect(modc.tokens.map(({ text }: { text: string }) => text)).toEqual(texts);
      const parts = eventsOf((await ask(served(), PATH, { ...body, stream: true })).text).map(
        ({ choices }) => choices[0],
      );
      expect(parts.map(({ delta }) => delta.content ?? "").join("")).toBe(message.content);
      expect(parts.flatMap((part) => part.logprobs?.content ?? [])).toEqual(logprobs.content);
      expect(parts.flatMap((part) => part.modc?.tokens ?? [])).toEqual(modc.tokens);
    }
  });
});

/** A tokenizer whose tokens are these bytes; any text is its first token. */
function piecesTokenizer(pieces: readonly (readonly number[])[]): Tokenizer {
  const decode = (tokens: readonly number[]): string => {
    const all = tokens.flatMap((token) => {
      if (pieces[token]) return pieces[token];
      throw new TokenizerError("bad-token", `there is no token ${token}`);
    });
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(all));
  };
  return {
    vocabulary: pieces.length,
    longest: 3,
    encode: () => [0],
    encodeAsync: async () => [0],
    decodeAsync: async (tokens) => decode(tokens),
    decode,
    idOf: () => null,
    isSpecial: () => false,
    bytesOf: (token) => pieces[token] ?? null,
  };
}
