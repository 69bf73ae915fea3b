// An engine of one sequence: its programs have no slots. Its tokens equal the tokens of an engine for several.
import { afterAll, beforeAll, expect, it } from "vitest";
import type { EngineRequest } from "../../../src/generation/engine/index.js";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { MODELS } from "../generate/models.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

const SHORT = ["mixture of depths", "routed work without attention"];

for (const [name, source] of Object.entries(MODELS).filter(([n]) => soaking || SHORT.includes(n)))
  it(`gives each text one after the other, and finds prefixes: ${name}`, { tags: "long" }, async () => {
    const options = { slots: false, maxBatch: 1, chunk: 7, memory: 64 };
    const { engine, alone, close } = await pairOf(source, device, 21, options);
    const rng = random(5);
    const start = Array.from({ length: 17 }, () => rng.below(13));
    const requests: EngineRequest[] = [
      ...Array.from({ length: 6 }, () => randomRequest(rng, 13, 12)),
      { prompt: [...start, 1], maxTokens: 4 },
      { prompt: [...start, 2], maxTokens: 4 },
    ];
    const found = await Promise.all(requests.map((request) => answerOf(engine.submit(request))));
    for (const [i, { tokens }] of found.entries())
      expect(tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, requests[i]!));
    expect(found.at(-1)!.prompt.cached).toBe(16);
    await close();
  });

it("guesses tokens too, and has no more sequences at once", { tags: "long" }, async () => {
  const source = MODELS["mixture of depths"]!;
  let guessed = 0;
  const { engine, alone, close } = await pairOf(source, device, 21, {
    slots: false,
    draft: "routes",
    observer: { drafted: (all) => void (guessed += all) },
  });
  const request = { prompt: [3, 1, 4], maxTokens: 12 };
  expect((await answerOf(engine.submit(request))).tokens.map(({ token }) => token)).toEqual(
    await aloneOf(alone, request),
  );
  expect(guessed).toBeGreaterThan(0);
  await close();
  await expect(pairOf(source, device, 21, { slots: false, maxBatch: 2 })).rejects.toThrow("from 1 to 1");
});
