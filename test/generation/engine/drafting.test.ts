// Tokens guessed by the model that skips its routes: the texts are those of plain decoding, whatever was guessed.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EngineRequest } from "../../../src/generation/engine/index.js";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { MODELS as OTHERS, RECURRENT_MODELS } from "../generate/models.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

const MODELS: Readonly<Record<string, string>> = { ...OTHERS, ...RECURRENT_MODELS };
const RECURRENT = [
  "a hybrid with a routed layer of each",
  "a routed delta rule beside attention",
  "rows before, on both sides of a route",
];
const SHORT = ["mixture of depths", ...RECURRENT];
const ROUTED = [
  "mixture of depths",
  "every layer routed",
  "routes that take nothing",
  "nested routes",
  "noise and positions",
  ...RECURRENT,
];

describe("drafting by depth", () => {
  for (const name of ROUTED.filter((n) => soaking || SHORT.includes(n)))
    it(`gives the texts of plain decoding: ${name}`, { tags: "long" }, async () => {
      let [guessed, right, sentAway] = [0, 0, 0];
      const observer = {
        drafted: (all: number, good: number): void => void ((guessed += all), (right += good)),
        preempted: (): void => void sentAway++,
      };
      const options = { maxBatch: 4, chunk: 7, memory: 40, draft: "routes", observer } as const;
      const { engine, alone, close } = await pairOf(MODELS[name]!, device, 21, options);
      const rng = random(8);
      const requests = Array.from({ length: soaking ? 40 : 10 }, () => randomRequest(rng, 13, 12));
      const wanted: (readonly number[])[] = [];
      for (const request of requests) wanted.push(await aloneOf(alone, request));
      const found = await Promise.all(requests.map((request) => answerOf(engine.submit(request))));
      expect(found.map(({ tokens }) => tokens.map((t) => t.token))).toEqual(wanted);
      expect(guessed).toBeGreaterThan(0);
      expect(right).toBeLessThanOrEqual(guessed);
      // No text has the tokens after its end.
      if (name === "routes that take nothing") expect(right / guessed).toBeGreaterThan(0.9);
      else expect(right).toBeLessThan(guessed);
      expect(sentAway).toBeGreaterThan(0);
      await close();
    });

  it("tells of each token what plain decoding tells", { tags: "long" }, async () => {
    const request: EngineRequest = { prompt: [3, 1, 4, 1, 5], maxTokens: 12, logprobs: 2 };
    const told = async (draft: "off" | "routes") => {
      const { engine, close } = await pairOf(MODELS["mixture of depths"]!, device, 11, { draft });
      const stream = engine.submit(request);
      const { tokens } = await answerOf(stream);
      const { use } = stream;
      await close();
      return { tokens, use };
    };
    const [plain, drafted] = [await told("off"), await told("routes")];
    const unscored = ({ tokens }: typeof plain): unknown => tokens.map((token) => ({ ...token, score: null }));
    expect(unscored(drafted)).toEqual(unscored(plain));
    drafted.tokens.forEach(({ score }, i) => expect(score!.logprob).toBeCloseTo(plain.tokens[i]!.score!.logprob, 5));
    expect(drafted.use).toEqual(plain.use);
  });

  it("gives way to steps if the device has no room to save states", { tags: "long" }, async () => {
    const own = await openDevice();
    const create = own.gpu.createBuffer.bind(own.gpu);
    let [snapshots, guessed] = [0, 0];
    const observer = { drafted: (all: number): void => void (guessed += all) };
    const options = { maxBatch: 3, chunk: 7, memory: 400, draft: "routes", observer } as const;
    const { engine, alone, close } = await pairOf(MODELS[RECURRENT[0]!]!, own, 21, options);
    // Prompts of a page or less leave no copies of states. There is room to save the states of two texts.
    own.gpu.createBuffer = (descriptor) =>
      create(descriptor.label === "snapshot" && ++snapshots > 2 ? { ...descriptor, size: 2 ** 50 } : descriptor);
    const requests = [1, 2, 3].map((first) => ({ prompt: [first, 5, 7], maxTokens: 15 }));
    const wanted: (readonly number[])[] = [];
    for (const request of requests) wanted.push(await aloneOf(alone, request));
    for (const all of [requests, requests]) {
      guessed = 0;
      const found = await Promise.all(all.map((request) => answerOf(engine.submit(request))));
      expect(found.map(({ tokens }) => tokens.map((t) => t.token))).toEqual(wanted);
      expect(guessed).toBeGreaterThan(0);
    }
    // One that has failed is not tried again.
    expect(snapshots).toBe(3);
    await close();
    own.destroy();
  });

  it("is refused for a model that skips nothing", async () => {
    await expect(pairOf(MODELS["dense"]!, device, 1, { draft: "routes" })).rejects.toMatchObject({
      code: "bad-input",
      input: "draft",
    });
  });
});
