// A checkpoint's folder behind the wire, whose tokens are words and parts of characters: its text, and how tokens are
// told.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { createServer, type Server } from "../../../src/tools/serve/index.js";
import { openEngine, type OpenedEngine } from "../../../src/tools/session/index.js";
import { chatTemplate } from "../../../src/models/tokenizer/index.js";
import { sparingDevice } from "../../device.js";
import { noStories, STORIES } from "../../stories.js";
import { ask, eventsOf, type Asked } from "./asked.js";

const BEGIN = "Once upon a time";
/** The model's most likely continuation. */
const BEST = ", there was a little girl named Lily. She loved to play outside in the park. One day,";
const TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}";

describe.skipIf(STORIES === null)(`stories260k behind the wire${noStories}`, () => {
  let device: Device;
  let opened: OpenedEngine;
  let server: Server;
  beforeAll(async () => {
    device = await sparingDevice();
    opened = await openEngine(STORIES!, { device });
    const chat = chatTemplate(TEMPLATE, new Map([["bos_token", "<s>"]]), "test");
    server = createServer({ ...opened, ...opened.texts, chat });
  });
  afterAll(async () => {
    await opened.close();
    device.destroy();
  });

  const post = async (path: string, body: object): Promise<Asked["json"]> => {
    const { status, json, text } = await ask(server, path, body);
    if (status !== 200) throw new Error(text);
    return json;
  };

  it("goes on from a text with the blank between, whole and as a stream", async () => {
    const body = { prompt: BEGIN, max_tokens: 36, temperature: 0 };
    const { choices } = await post("/v1/completions", body);
    expect(choices[0].text.startsWith(BEST)).toBe(true);
    const { text } = await ask(server, "/v1/completions", { ...body, stream: true });
    const pieces = eventsOf(text).map((event) => event.choices[0].text as string);
    expect(pieces.join("")).toBe(choices[0].text);
    // After a prompt that ends within the story, the word keeps its leading blank.
    const later = await post("/v1/completions", { prompt: `${BEGIN}, there was a`, max_tokens: 8, temperature: 0 });
    expect(later.choices[0].text).toMatch(/^ little girl/);
    const echoed = await post("/v1/completions", { ...body, echo: true, logprobs: 1 });
    const { tokens, text_offset: offsets } = echoed.choices[0].logprobs;
    expect(tokens[0]).toBe("<s>");
    expect(tokens.slice(1).join("").trim()).toBe(echoed.choices[0].text);
    expect(offsets.slice(0, 5)).toEqual([0, 0, 4, 9, 11]);
    expect(offsets.at(-1)).toBeLessThan(echoed.choices[0].text.length);
  });

  it("answers a chat with log-probabilities of its words", async () => {
    const messages = [{ role: "user", content: BEGIN }];
    const scored = { max_tokens: 36, temperature: 0, logprobs: true, top_logprobs: 3 };
    const { choices, usage } = await post("/v1/chat/completions", { messages, ...scored });
    const { message, logprobs } = choices[0];
    expect(message.content.startsWith(BEST)).toBe(true);
    expect(logprobs.content.map(({ token }: { token: string }) => token).join("")).toBe(message.content);
    for (const { token, logprob, top_logprobs: top } of logprobs.content) {
      expect(top).toHaveLength(3);
      expect(top[0]).toMatchObject({ token, logprob }); // the likeliest is taken
    }
    expect(usage.completion_tokens).toBe(36);
    const again = await post("/v1/chat/completions", { messages, max_tokens: 1 });
    expect(again.usage.prompt_tokens).toBe(usage.prompt_tokens);
  });

  it("tells its tokens and takes them back, parts of characters by their bytes", async () => {
    const { tokens } = await post("/tokenize", { content: `${BEGIN} 🤗`, with_pieces: true });
    const bytes = tokens.flatMap(({ piece }: { piece: string | number[] }) =>
      typeof piece === "string" ? [...new TextEncoder().encode(piece)] : piece,
    );
    expect(new TextDecoder().decode(Uint8Array.from(bytes as number[])).trim()).toBe(`${BEGIN} 🤗`);
    const ids = tokens.map(({ id }: { id: number }) => id);
    expect((await post("/detokenize", { tokens: ids })).content.trim()).toBe(`${BEGIN} 🤗`);
    expect((await ask(server, "/tokenizer_info")).json).toMatchObject({ bos_token: "<s>", eos_token: "</s>" });
  });
});
