// `/v1/chat/completions` by its replies, whole and as a stream.
import { describe, expect, it } from "vitest";
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
    ["an unknown role", [{ role: "tool", content: "a" }], "messages[0].role"],
    ["no content", [{ role: "user" }], "messages[0].content"],
    ["content that is null", [{ role: "user", content: null }], "messages[0].content"],
    ["a picture", [{ role: "user", content: [{ type: "image_url", image_url: {} }] }], "messages[0].content[0].type"],
    ["an answer to go on from", [{ role: "assistant", content: "I" }], "messages"],
    ["calls of tools", [{ role: "assistant", content: "I", tool_calls: [{}] }], "messages[0].tool_calls"],
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
    // Of a part of a character, the bytes; its text comes with the last of them.
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
