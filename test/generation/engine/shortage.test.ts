// Memory for hardly more than one text: texts are sent away while they are read and while they are generated, and share
// prefixes when they come back. None reads a page of another, and no page is lost.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { sparingDevice } from "../../device.js";
import { LM, MODELS } from "../generate/models.js";
import { random } from "../../random.js";
import { cases, patience, seedOf } from "../../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

const [CONTEXT, VOCABULARY] = [24, 13];
const ROUNDS = cases(6);

it.each(["dense", "mixture of depths"])(
  "gives each text what it gives alone: %s",
  { tags: "long", timeout: patience(60_000) },
  async (name) => {
    const device = await sparingDevice();
    let sentAway = 0;
    const { engine, alone, close } = await pairOf(MODELS[name]!, device, 21, {
      maxBatch: 4,
      chunk: 7,
      memory: 32,
      queue: 1000,
      observer: { preempted: () => void sentAway++ },
    });
    for (let round = 0; round < ROUNDS; round++) {
      const rng = random(seedOf(1 + round));
      // Longer than a page.
      const start = Array.from({ length: 17 }, () => rng.below(VOCABULARY));
      const requests = Array.from({ length: 30 }, (_, i) =>
        i % 3 === 0
          ? { prompt: [...start, i % VOCABULARY, 2], maxTokens: 5 }
          : { ...randomRequest(rng, VOCABULARY, CONTEXT >> 1), maxTokens: 12 },
      );
      const wanted: (readonly number[])[] = [];
      for (const request of requests) wanted.push(await aloneOf(alone, request));
      const given = await Promise.all(
        requests.map(async (request) => {
          await sleep(rng.below(200));
          return (await answerOf(engine.submit(request))).tokens.map(({ token }) => token);
        }),
      );
      expect(given, `round ${round}`).toEqual(wanted);
      const { used, kept, free, limit } = engine.state.cache;
      expect([used, kept + free], `round ${round}`).toEqual([0, limit]);
    }
    expect(sentAway).toBeGreaterThan(0);
    await close();
    device.destroy();
  },
);

it("begins the pools anew where others have filled the memory that one text needs", { tags: "long" }, async () => {
  const device = await sparingDevice();
  const sentAway: number[] = [];
  const routed = "layers: [Residual(Layer(dim, 2, hidden: 24)), MoD(Layer(dim, 2, hidden: 24), dim, 25%)]";
  const { engine, alone, close } = await pairOf(
    LM("", routed, "for layer in layers { x = layer(x) }", 400),
    device,
    21,
    // Twelve pages of each pool.
    { memory: 192, chunk: 192, maxBatch: 16, observer: { preempted: (tokens) => void sentAway.push(tokens) } },
  );
  // Of short texts all tokens take a page on the first axis, a quarter on the other.
  const short = (i: number) => ({
    prompt: Array.from({ length: 30 }, (_, at) => (at * i) % VOCABULARY),
    maxTokens: 25,
  });
  const long = { prompt: Array.from({ length: 180 }, (_, at) => (at * at) % VOCABULARY), maxTokens: 13 };
  const wanted = await aloneOf(alone, long);
  const textOf = async (): Promise<readonly number[]> =>
    (await answerOf(engine.submit(long))).tokens.map(({ token }) => token);
  for (let round = 0; round < 2; round++) {
    await Promise.all(Array.from({ length: 4 }, async (_, i) => await answerOf(engine.submit(short(i)))));
    sentAway.length = 0;
    expect(await textOf()).toEqual(wanted);
    // Once, for the pools; afterwards they are even.
    expect(sentAway, `round ${round}`).toHaveLength(round === 0 ? 1 : 0);
  }
  await close();
  device.destroy();
});
