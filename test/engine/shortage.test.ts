// Memory for hardly more than one text: texts are sent away while they are read and while they are generated, and share
// prefixes when they come back. None reads a page of another, and no page is lost.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { sparingDevice } from "../device.js";
import { MODELS } from "../generate/models.js";
import { random } from "../random.js";
import { cases, patience, seedOf } from "../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

const [CONTEXT, VOCABULARY] = [24, 13];
const ROUNDS = cases(6);

it.each(["dense", "mixture of depths"])(
  "gives each text what it gives alone: %s",
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
  patience(60_000),
);
