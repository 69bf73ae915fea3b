// A trained model behind the wire, one request at a time: texts and scores are those that it has without a server.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { createServer, type Server } from "../../../src/tools/serve/index.js";
import { openSession, type TextSession } from "../../../src/tools/session/index.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { sparingDevice } from "../../device.js";
import { ask, bytes, CHAT, type Asked } from "./asked.js";
import { serialEngine, type SerialEngine } from "./serial-engine.js";

const examples = join(import.meta.dirname, "../../../examples");
const weights = join(examples, "moby.safetensors");
let device: Device;
let engine: SerialEngine;
let server: Server;
let alone: TextSession;
beforeAll(async () => {
  device = await sparingDevice();
  engine = await serialEngine(readFileSync(join(examples, "moby.mod"), "utf8"), device, weights, 96);
  server = createServer({ engine, tokenizer: bytesTokenizer, chat: CHAT, name: "moby" });
  alone = await openSession(join(examples, "moby.mod"), { weights, device });
});
afterAll(async () => {
  await engine.close();
  alone.dispose();
  device.destroy();
});

const complete = async (body: object): Promise<Asked["json"]> => {
  const { status, json, text } = await ask(server, "/v1/completions", body);
  if (status !== 200) throw new Error(text);
  return json;
};

describe("a trained model", () => {
  it("says over the wire what it says without, drawn by the same seeds", async () => {
    const prompts = ["It was the w", "Call me"];
    const sampling = { temperature: 0.8, topK: 20, seed: 5 };
    const { choices } = await complete({
      prompt: prompts,
      max_tokens: 16,
      temperature: 0.8,
      top_k: 20,
      seed: 5,
    });
    for (const [i, prompt] of prompts.entries()) {
      let text = "";
      for await (const event of alone.generate(prompt, { sampling, maxTokens: 16 })) text += event.text;
      expect(choices[i].text).toBe(text);
    }
  });

  it("is scored as a harness does: the same whether it is read or generated", async () => {
    const [generated] = (await complete({ prompt: "It was the w", max_tokens: 12, temperature: 0, logprobs: 2 }))
      .choices;
    const prompt = bytes(`It was the w${generated.text}`);
    const [read] = (await complete({ prompt: [prompt], max_tokens: 1, temperature: 0, logprobs: 2, echo: true }))
      .choices;
    const scored = read.logprobs.token_logprobs.slice(12, -1) as number[];
    expect(scored).toHaveLength(12);
    scored.forEach((score, i) => {
      expect(score).toBeCloseTo(generated.logprobs.token_logprobs[i] as number, 4);
      // Greedy: the token's own score is the largest.
      expect(Math.max(...Object.values<number>(read.logprobs.top_logprobs[12 + i]))).toBe(score);
    });
  });

  it("tells which layers computed what", async () => {
    const body = { prompt: "It was the w", max_tokens: 8, temperature: 0, modc: { routes: true } };
    const { modc } = (await complete(body)).choices[0];
    const [root, ...routes] = modc.routes;
    expect([root.tokens, modc.prompt.layers.length, modc.tokens.length]).toEqual([19, 12, 8]);
    const layers = [...modc.prompt.layers, ...modc.tokens.slice(1).map((token: { layers: number }) => token.layers)];
    const routed = routes.reduce((n: number, r: { layers: number; tokens: number }) => n + r.layers * r.tokens, 0);
    // Each token is counted once: those of the prompt, and each generated one but the last, which is not read.
    expect(layers.reduce((a: number, b: number) => a + b, 0)).toBe(19 * root.layers + routed);
    expect(modc.tokens[0].layers).toBe(modc.prompt.layers.at(-1));
    expect(modc.cache_bytes.own).toBeLessThan(modc.cache_bytes.dense);
  });
});
