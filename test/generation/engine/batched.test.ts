// Many requests at once give the texts that each gives alone: joining and leaving at random moments, sharing prefixes,
// short of memory, some of them cancelled.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { MODELS, RECURRENT_MODELS } from "../generate/models.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

const [CONTEXT, VOCABULARY] = [24, 13];
/** Kinds of routing that the short run has. */
const SHORT = [
  "dense",
  "mixture of depths",
  "nested routes",
  "routed work without attention",
  "weights of keys",
  "pairs of tokens",
  ...Object.keys(RECURRENT_MODELS),
];

describe("requests at once", () => {
  for (const [name, source] of Object.entries({ ...MODELS, ...RECURRENT_MODELS }).filter(
    ([n]) => soaking || SHORT.includes(n),
  ))
    it(`give the texts that each gives alone: ${name}`, { tags: "long" }, async () => {
      // Pages for hardly more than one text, all layers taken: texts are sent away and read again.
      let sentAway = 0;
      // States alone take no memory for each token.
      const hasPages = !(name in RECURRENT_MODELS) || /attn|deep/.test(source);
      const more = hasPages ? 0 : 20_000;
      const observer = { preempted: () => void sentAway++ };
      const options = { maxBatch: 4, chunk: 7, memory: 32, more, observer };
      const { engine, alone, close } = await pairOf(source, device, 21, options);
      const rng = random(5);
      const requests = Array.from({ length: soaking ? 40 : 12 }, () => randomRequest(rng, VOCABULARY, CONTEXT >> 1));
      // Some begin alike, with more than a page.
      const start = Array.from({ length: 17 }, () => rng.below(VOCABULARY));
      for (let i = 0; i < 4; i++) requests.push({ prompt: [...start, i, 2], maxTokens: 5 });
      const wanted: (readonly number[])[] = [];
      for (const request of requests) wanted.push(await aloneOf(alone, request));
      await Promise.all(
        requests.map(async (request, i) => {
          await sleep(rng.below(60));
          const stop = new AbortController();
          if (i % 5 === 4) setTimeout(() => stop.abort(), rng.below(30));
          const tokens: number[] = [];
          try {
            for await (const event of engine.submit({ ...request, signal: stop.signal }))
              if (event.kind === "token") tokens.push(event.token);
            expect(tokens, `request ${i}`).toEqual(wanted[i]);
          } catch (error) {
            if (!stop.signal.aborted) throw error;
            expect(error).toMatchObject({ name: "AbortError" });
            expect(tokens, `request ${i}`).toEqual(wanted[i]!.slice(0, tokens.length));
          }
        }),
      );
      await answerOf(engine.submit(requests.at(-1)!));
      const again = await answerOf(engine.submit(requests.at(-1)!));
      expect(again.tokens.map((t) => t.token)).toEqual(wanted.at(-1));
      expect(again.prompt.cached).toBe(16);
      expect(engine.state.active).toBe(0);
      expect(sentAway > 0).toBe(hasPages);
      await close();
      expect(engine.state.cache.used).toBe(0);
    });
});

it("a prompt that is read in the same pieces has the same bits beside longer ones", { tags: "long" }, async () => {
  // Heads wide enough for chunks of linear attention.
  const source = RECURRENT_MODELS["a delta rule behind a short convolution"]!.replace(
    "Delta(dim, 2)",
    "Delta(dim, 1)",
  ).replace("T <= 24", "T <= 100");
  const rng = random(9);
  const prompts = [12, 90, 90, 90].map((length) => Array.from({ length }, () => rng.below(VOCABULARY)));
  const scoresBeside = async (others: number): Promise<readonly number[]> => {
    const { engine, close } = await pairOf(source, device, 21, { maxBatch: 4 });
    const requests = prompts.slice(0, 1 + others).map((prompt) => ({ prompt, maxTokens: 6, logprobs: 1 }));
    const [first] = await Promise.all(requests.map((request) => answerOf(engine.submit(request))));
    await close();
    return first!.tokens.map(({ score }) => score!.logprob);
  };
  expect(await scoresBeside(3)).toEqual(await scoresBeside(0));
});
