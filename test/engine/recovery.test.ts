// Devices that are lost under many requests: every text goes on, and is the text it would have been.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../../src/engine/index.js";
import { compileGeneration } from "../../src/compile-generation.js";
import { openDevice, type Device } from "../../src/runtime/index.js";
import { sparingDevice } from "../device.js";
import { MODELS } from "../generate/models.js";
import { random } from "../random.js";
import { soaking } from "../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest, randomWeights } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

describe("a device that is lost", () => {
  it("is replaced, and each request gets the text that it gives alone", async () => {
    const { alone, close } = await pairOf(MODELS["mixture of depths"]!, device, 8);
    const rng = random(9);
    const requests = Array.from({ length: 8 }, () => ({ ...randomRequest(rng, 13, 12), ends: [], maxTokens: 12 }));
    const wanted: (readonly number[])[] = [];
    for (const request of requests) wanted.push(await aloneOf(alone, request));
    const generation = compileGeneration(MODELS["mixture of depths"]!, {
      target: device.target,
      caches: "pages",
    }).generation!;
    const values = randomWeights(generation.prompt, 8);
    let current = await openDevice();
    let [lost, tokens] = [0, 0];
    const engine = await createEngine(generation, current, ({ path }) => values.get(path)!.data, {
      maxBatch: 3,
      recover: async () => ({ device: (current = await openDevice()) }),
      observer: { deviceLost: () => void lost++ },
    });
    const found = await Promise.all(
      requests.map(async (request) => {
        const text: number[] = [];
        for await (const event of engine.submit(request)) {
          if (event.kind !== "token") continue;
          text.push(event.token);
          if (++tokens % (soaking ? 9 : 40) === 5) current.gpu.destroy();
        }
        return text;
      }),
    );
    expect(found).toEqual(wanted);
    expect(lost).toBeGreaterThanOrEqual(soaking ? 8 : 2);
    expect(engine.state.lost).toBe(lost);
    await engine.close();
    current.destroy();
    await close();
  });

  it("is replaced at a later request where none opened at once", async () => {
    const { alone, close } = await pairOf(MODELS["dense"]!, device, 8);
    const wanted = await aloneOf(alone, { prompt: [1, 2], maxTokens: 6 });
    const { generation } = compileGeneration(MODELS["dense"]!, { target: device.target, caches: "pages" });
    const values = randomWeights(generation!.prompt, 8);
    let [current, tries] = [await openDevice(), 0];
    const loading = new AbortController();
    const engine = await createEngine(generation!, current, ({ path }) => values.get(path)!.data, {
      signal: loading.signal,
      recover: async () => {
        if (++tries < 4) throw new Error("not yet");
        return { device: (current = await openDevice()) };
      },
    });
    // It is loaded: what loading was given to end it is no concern of a device to come.
    loading.abort();
    current.gpu.destroy();
    const ask = async (): Promise<readonly number[]> =>
      (await answerOf(engine.submit({ prompt: [1, 2], maxTokens: 6 }))).tokens.map(({ token }) => token);
    for (let i = 0; i < 3; i++) await expect(ask()).rejects.toMatchObject({ code: "device-lost" });
    expect(await ask()).toEqual(wanted);
    await engine.close();
    current.destroy();
    await close();
  });

  it("ends all requests where no other opens, and those that come later", async () => {
    const lossy = await openDevice();
    const { engine, close } = await pairOf(MODELS["dense"]!, lossy, 8, {
      recover: () => Promise.reject(new Error("there is no other")),
    });
    const streams = [1, 2].map((token) => engine.submit({ prompt: [token], maxTokens: 20 }));
    const ends = Promise.allSettled(streams.map(answerOf));
    lossy.gpu.destroy();
    for (const end of await ends)
      expect(end).toMatchObject({ status: "rejected", reason: { code: "device-lost", exit: 3 } });
    await expect(answerOf(engine.submit({ prompt: [1], maxTokens: 1 }))).rejects.toMatchObject({ code: "device-lost" });
    expect(engine.state).toMatchObject({ lost: 1, ready: false });
    await close();
  });

  it("is tried again at a later request where several were lost one behind the other", async () => {
    let [current, opened, lose] = [await openDevice(), 0, true];
    const { engine, close } = await pairOf(MODELS["dense"]!, current, 8, {
      recover: async () => {
        opened++;
        current = await openDevice();
        if (lose) current.gpu.destroy();
        return { device: current };
      },
    });
    current.gpu.destroy();
    await expect(answerOf(engine.submit({ prompt: [1], maxTokens: 2 }))).rejects.toMatchObject({ code: "device-lost" });
    expect(engine.state.ready).toBe(false);
    lose = false;
    const before = opened;
    expect((await answerOf(engine.submit({ prompt: [1], maxTokens: 2 }))).tokens).toHaveLength(2);
    expect([opened - before, engine.state.ready]).toEqual([1, true]);
    await close();
    current.destroy();
  });

  it("is not replaced by a generation of another model", async () => {
    const lossy = await openDevice();
    const other = compileGeneration(MODELS["every layer routed"]!, { caches: "pages" }).generation!;
    const { engine, close } = await pairOf(MODELS["dense"]!, lossy, 8, {
      recover: async () => ({ device: await openDevice(), generation: other }),
    });
    const ended = answerOf(engine.submit({ prompt: [1], maxTokens: 20 }));
    lossy.gpu.destroy();
    await expect(ended).rejects.toThrow("that of another model");
    await close();
  });
});
