// Devices that are lost in the middle of a text: it goes on from another, and is the text it would have been.
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  createGenerator,
  type GeneratedToken,
  type Generation,
  type Generator,
  type GeneratorOptions,
  type Recovered,
} from "../../../src/generation/generate/index.js";
import {
  type Device,
  DeviceLostError,
  DisposedError,
  initialWeights,
  NoDeviceError,
  openDevice,
  type WeightsInput,
} from "../../../src/runtime/index.js";
import { promised } from "../../promised.js";
import { soaking } from "../../soak.js";
import { MODELS } from "./models.js";

let generation: Generation;
let dense: Generation;
beforeAll(async () => {
  const device = await openDevice();
  generation = compileGeneration(MODELS["mixture of depths"]!, { target: device.target }).generation!;
  dense = compileGeneration(MODELS["dense"]!, { target: device.target }).generation!;
  device.destroy();
});
const made: { readonly generator: Generator; readonly device: Device }[] = [];
afterEach(() => {
  for (const { generator, device } of made.splice(0)) {
    generator.dispose();
    device.destroy();
  }
});

const PROMPTS = [
  [3, 1, 4, 1, 5, 9, 2],
  [6, 5],
  [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6],
];
const weights: WeightsInput = (w) => initialWeights(3)(w).map((v) => 6 * v);

async function open(options: GeneratorOptions = {}, model = generation): Promise<Generator> {
  const device = await openDevice();
  const generator = await createGenerator(model, device, weights, options);
  made.push({ generator, device });
  return generator;
}

type Asked = Parameters<Generator["generate"]>[1];

/** `when` is asked before each token, with how many there are already; true loses the device. */
async function all(
  generator: Generator,
  prompts: readonly number[][],
  asked: Asked,
  when: (tokens: number) => boolean = () => false,
): Promise<GeneratedToken[]> {
  const events = generator.generate(prompts, asked);
  const tokens: GeneratedToken[] = [];
  for (;;) {
    const next = events.next();
    if (when(tokens.length)) generator.device.gpu.destroy();
    const { done, value } = await next;
    if (done) return tokens;
    tokens.push(value);
  }
}

/** Sequences take turns as the device answers: each by itself is what matters. */
const bySequence = (tokens: readonly GeneratedToken[]): readonly (readonly GeneratedToken[])[] =>
  PROMPTS.map((_, b) =>
    tokens
      .filter((t) => t.sequence === b)
      .map((t) => ({ ...t, logprob: t.logprob === null ? null : Number(t.logprob.toFixed(3)) })),
  );

/** The state to restore: draws, penalties for words said before the loss, biases, ends. */
const SAMPLING = {
  temperature: 1.5,
  topK: 9,
  repetitionPenalty: 1.3,
  seed: 41,
  logprobs: true,
  logitBias: { 4: -Infinity, 7: 0.5 },
} as const;

describe("a device that is lost", () => {
  it(
    "whenever it is, leaves the text as it would have been, and its caller hears of it once",
    { tags: "long" },
    async () => {
      const calm = await open();
      const free = await all(calm, PROMPTS, { maxTokens: 9, sampling: SAMPLING });
      // The second sequence ends before the others.
      const ends = [free.filter((t) => t.sequence === 1)[3]!.token];
      const asked = { maxTokens: 9, sampling: SAMPLING, ends };
      const wanted = bySequence(await all(calm, PROMPTS, asked));
      expect(wanted[1]!.at(-1)!.finish).toBe("end");
      const total = wanted.flat().length;
      const routes = calm.summary!.routes;
      // Before anything was said, between steps, within one, and twice.
      for (const moments of soaking ? [[0], [6], [1, 8]] : [[0], [1, 8]]) {
        const heard: Recovered[] = [];
        const lossy = await open({ chunk: 5, ahead: 1, onRecovered: (event) => heard.push(event) });
        expect(
          bySequence(await all(lossy, PROMPTS, asked, (n) => moments.includes(n))),
          `lost after ${moments.join(" and ")}`,
        ).toEqual(wanted);
        expect(heard.map((e) => e.lost.reason)).toEqual(moments.map(() => "destroyed"));
        expect(heard.at(-1)!.device).toBe(lossy.device);
        expect(heard[0]!.tokens).toBeGreaterThanOrEqual(21);
        const { promptTokens, generatedTokens } = lossy.summary!;
        expect([promptTokens, generatedTokens]).toEqual([21, total]);
        // Nothing was computed twice, but for what was under way when a sequence ended.
        lossy.summary!.routes.forEach(({ tokens }, i) => expect(tokens).toBeLessThanOrEqual(routes[i]!.tokens + 16));
        // It is a generator like any other afterwards.
        if (moments.length > 1) expect(bySequence(await all(lossy, PROMPTS, asked))).toEqual(wanted);
      }
    },
  );

  it(
    "between two generations matters as little, nor with one sequence of a dense model",
    { tags: "long" },
    async () => {
      const calm = await open({}, dense);
      const wanted = await all(calm, [[1, 2, 3]], { maxTokens: 12 });
      const heard: Recovered[] = [];
      const lossy = await open({ ahead: 1, onRecovered: (event) => heard.push(event) }, dense);
      await all(lossy, [[4]], { maxTokens: 2 });
      lossy.device.gpu.destroy();
      await lossy.device.lost;
      expect(await all(lossy, [[1, 2, 3]], { maxTokens: 12 }, (n) => n === 7)).toEqual(wanted);
      expect(heard).toHaveLength(2);
    },
  );

  it("ends the generation where none takes its place, and says why", async () => {
    const gone = await open(
      {
        ahead: 1,
        recover: () => Promise.reject(new NoDeviceError("there is no other", { hint: "buy one" })),
      },
      dense,
    );
    const failed = all(gone, PROMPTS, { maxTokens: 9 }, (n) => n === 6);
    await expect(failed).rejects.toThrow(
      expect.objectContaining({
        code: "device-lost",
        hint: "buy one",
        message: "the device was destroyed, and no other device can continue: there is no other",
      }) as Error,
    );
    expect(gone.summary!.generatedTokens).toBe(6);
    const none = await open({ ahead: 1, recover: null }, dense);
    await expect(all(none, PROMPTS, { maxTokens: 9 }, (n) => n === 2)).rejects.toThrow(DeviceLostError);
  });

  it("again and again, before anything is said, ends it too; so does its caller's signal", async () => {
    let opened = 0;
    const doomed = await open(
      {
        ahead: 1,
        recover: async () => {
          opened++;
          const device = await openDevice();
          // It loads, and is lost as soon as it is to do something.
          setTimeout(() => device.gpu.destroy(), 0);
          return { device };
        },
      },
      dense,
    );
    await expect(all(doomed, PROMPTS, { maxTokens: 9 }, (n) => n === 3)).rejects.toThrow(
      expect.objectContaining({ code: "device-lost" }) as Error,
    );
    expect(opened).toBe(1);
    const controller = new AbortController();
    const stopped = await open(
      {
        ahead: 1,
        recover: async () => {
          controller.abort(new Error("enough"));
          return { device: await openDevice() };
        },
      },
      dense,
    );
    await expect(all(stopped, PROMPTS, { maxTokens: 9, signal: controller.signal }, (n) => n === 3)).rejects.toThrow(
      "enough",
    );
  });
});

/** A generator that is left while it waits for another device, which arrives afterwards and is destroyed. */
async function leftWaiting(leave: (generator: Generator, controller: AbortController) => void) {
  const [asked, arrival] = [promised<void>(), promised<{ device: Device }>()];
  const controller = new AbortController();
  let tries = 0;
  const generator = await open({
    async recover() {
      if (++tries > 1) return { device: await openDevice() };
      asked.resolve();
      return arrival.promise;
    },
  });
  const asking = { maxTokens: 20, signal: controller.signal };
  const texts = all(generator, PROMPTS, asking, (n) => n === 5).catch((error: unknown) => error);
  await asked.promise;
  leave(generator, controller);
  const error = await texts;
  return {
    generator,
    error,
    arrive: async () => {
      const device = await openDevice();
      arrival.resolve({ device });
      expect((await device.lost).reason).toBe("destroyed");
    },
  };
}

it("a device that arrives after the generator was disposed of is destroyed", async () => {
  const { error, arrive } = await leftWaiting((generator) => generator.dispose());
  expect(error).toBeInstanceOf(DisposedError);
  await arrive();
});

it(
  "a device that arrives after the signal is destroyed, and the next generation opens another",
  { tags: "long" },
  async () => {
    const { generator, error, arrive } = await leftWaiting((_, controller) => controller.abort(new Error("enough")));
    expect(error).toMatchObject({ message: "enough" });
    const wanted = await all(await open(), PROMPTS, { maxTokens: 4 });
    expect(bySequence(await all(generator, PROMPTS, { maxTokens: 4 }))).toEqual(bySequence(wanted));
    await arrive();
    expect(bySequence(await all(generator, PROMPTS, { maxTokens: 4 }))).toEqual(bySequence(wanted));
  },
);
