// The clients that people have, against a running server: OpenAI's own, and the Vercel AI SDK's.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import OpenAI, { APIError, APIUserAbortError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listening } from "../../../src/tools/serve/listen-node.js";
import { bytes, scripted } from "./asked.js";
import { scoreOf, type Script } from "./scripted-engine.js";

const SAID = "Call me Ishmael ✓.";
const KEY = "sk-of-the-test";
const script: { -readonly [K in "before" | "most"]-?: NonNullable<Script[K]> } = {
  before: () => {},
  most: () => Infinity,
};
const { server, engine } = scripted(SAID, {
  keys: [KEY],
  limits: { choices: 16 },
  script: {
    before: (request, index) => script.before(request, index),
    most: () => script.most(),
  },
});
const messages = [{ role: "user", content: "Who?" }] as const;
const ask = { model: "moby", messages: [...messages] };
let listening: Listening;
let client: OpenAI;
beforeAll(async () => {
  listening = await listen(server, { port: 0 });
  client = new OpenAI({ apiKey: KEY, baseURL: `${listening.url}/v1`, maxRetries: 0 });
});
afterAll(() => listening.close());
afterEach(() => {
  script.before = () => {};
  script.most = () => Infinity;
  expect(engine.active).toBe(0);
});

const later = (milliseconds: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, milliseconds));

describe("OpenAI's client", () => {
  it("lists models, and finds one", async () => {
    const all = [];
    for await (const model of client.models.list()) all.push(model.id);
    expect(all).toEqual(["moby"]);
    expect(await client.models.retrieve("moby")).toMatchObject({ object: "model", owned_by: "modc" });
    await expect(client.models.retrieve("gpt-4o")).rejects.toThrow(NotFoundError);
  });

  it("completes", async () => {
    const { choices, usage } = await client.completions.create({ model: "moby", prompt: ["a", "b"], n: 2 });
    expect(choices.map(({ text, index }) => [index, text])).toEqual([0, 1, 2, 3].map((i) => [i, SAID.slice(0, 16)]));
    expect(usage!.completion_tokens).toBe(64);
    const scored = await client.completions.create({ model: "moby", prompt: "a", logprobs: 1, max_tokens: 1 });
    expect(scored.choices[0]!.logprobs!.token_logprobs).toEqual([scoreOf(67, 1).logprob]);
  });

  it("streams completions", async () => {
    let text = "";
    for await (const { choices } of await client.completions.create({
      model: "moby",
      prompt: "a",
      max_tokens: 50,
      stop: ".",
      stream: true,
    }))
      text += choices[0]!.text;
    expect(text).toBe("Call me Ishmael ✓");
  });

  it("chats, with log-probabilities", async () => {
    const { choices } = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2 });
    expect(choices[0]!.message.content).toBe(SAID);
    const { content } = choices[0]!.logprobs!;
    expect(content!.map(({ token }) => token).join("")).toBe(SAID);
    expect(content![0]!.top_logprobs.map(({ token }) => token)).toEqual(["C", "D"]);
  });

  it("streams chats, by its events and its helper, with the usage", async () => {
    const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const whole = await stream.finalChatCompletion();
    expect([text, whole.choices[0]!.message.content]).toEqual([SAID, SAID]);
    expect(whole.usage!.completion_tokens).toBe(bytes(SAID).length);
    expect(whole.choices[0]!.finish_reason).toBe("length");
  });

  it("aborts: what it began ends on the server", async () => {
    script.before = () => later(2);
    const stream = await client.chat.completions.create({ ...ask, stream: true });
    for await (const _ of stream) break;
    const slow = client.chat.completions.create(ask, { signal: AbortSignal.timeout(15) });
    await expect(slow).rejects.toThrow(APIUserAbortError);
    for (let i = 0; engine.active > 0 && i < 100; i++) await later(5);
    expect(engine.streams.slice(-2).map(({ cancelled }) => cancelled)).toEqual([true, true]);
  });

  it("tries again where the queue is full, when it is told to", async () => {
    script.most = () => 0;
    await expect(client.chat.completions.create(ask)).rejects.toThrow(RateLimitError);
    let asked = 0;
    script.most = () => asked++;
    const patient = new OpenAI({ apiKey: KEY, baseURL: `${listening.url}/v1`, maxRetries: 1 });
    const before = performance.now();
    expect((await patient.chat.completions.create(ask)).choices[0]!.message.content).toBe(SAID);
    expect(performance.now() - before).toBeGreaterThan(950); // the server said 1 s
  });

  it("has errors with their kind, code and field", async () => {
    const wrong = client.completions.create({ model: "moby", prompt: "a", suffix: "b" });
    await expect(wrong).rejects.toThrow(BadRequestError);
    await expect(wrong).rejects.toMatchObject({
      status: 400,
      code: "unsupported_parameter",
      param: "suffix",
      type: "invalid_request_error",
      requestID: expect.stringMatching(/^req_/),
    });
    const stranger = new OpenAI({ apiKey: "another", baseURL: `${listening.url}/v1` });
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
  });

  it("has an error that comes in the middle of a stream", async () => {
    script.before = (_, index) => {
      if (index === 3) throw new Error("no more");
    };
    let text = "";
    const read = async (): Promise<void> => {
      for await (const { choices } of await client.chat.completions.create({ ...ask, stream: true }))
        text += choices[0]!.delta.content ?? "";
    };
    await expect(read()).rejects.toThrow(APIError);
    expect(text).toBe("Cal");
  });
});

it("the Vercel AI SDK's client streams an answer", async () => {
  const provider = createOpenAICompatible({ name: "modc", baseURL: `${listening.url}/v1`, apiKey: KEY });
  const { stream } = await provider.chatModel("moby").doStream({
    prompt: [{ role: "user", content: [{ type: "text", text: "Who?" }] }],
    includeRawChunks: false,
  });
  let text = "";
  let finish: unknown = null;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (value.type === "text-delta") text += value.delta;
    if (value.type === "finish") finish = value;
  }
  expect(text).toBe(SAID);
  expect(finish).toMatchObject({ finishReason: { unified: "length" } });
});
