// Devices that are lost under many requests: every text continues, and equals the text without a loss. An engine that
// is closed does not wait for another device.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine, EngineClosedError, type EngineOptions } from "../../../src/generation/engine/index.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { LM, MODELS } from "../generate/models.js";
import { promised } from "../../promised.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest, randomWeights } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

describe("a device that is lost", () => {
  it("is replaced, and each request gets the text that it gives alone", { tags: "long" }, async () => {
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

  it("is replaced at a later request where none opened at once", { tags: "long" }, async () => {
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

  it("is tried again at a later request where several were lost one behind the other", { tags: "long" }, async () => {
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
    await expect(ended).rejects.toThrow("belongs to another model");
    await close();
  });

  it(
    "is replaced while nothing is asked, and tried for until one opens: readiness tells balancers of it",
    { tags: "long" },
    async () => {
      let lose = (): void => {};
      const lossy = await openDevice();
      const lost = new Promise<{ reason: string; message: string }>((resolve) => {
        lose = () => resolve({ reason: "unknown", message: "unplugged" });
      });
      Object.defineProperty(lossy.gpu, "lost", { value: lost });
      const wrapped = await openDevice({ device: lossy.gpu });
      let tries = 0;
      const other = await openDevice();
      const { engine, close } = await pairOf(MODELS["dense"]!, wrapped, 8, {
        recover: async () => {
          if (++tries < 2) throw new Error("not yet");
          return { device: other };
        },
      });
      expect(engine.state).toMatchObject({ lost: 0, ready: true });
      lose();
      while (engine.state.lost === 0) await new Promise((resolve) => void setTimeout(resolve, 5));
      expect(engine.state).toMatchObject({ lost: 1, ready: false });
      while (!engine.state.ready) await new Promise((resolve) => void setTimeout(resolve, 50));
      expect([tries, engine.state.lost]).toEqual([2, 1]);
      expect((await answerOf(engine.submit({ prompt: [1], maxTokens: 2 }))).tokens).toHaveLength(2);
      await close();
      lossy.destroy();
    },
  );

  it("ends a limit of memory that it had: texts end where they were to", { tags: "long" }, async () => {
    const lossy = await openDevice();
    Object.assign(lossy.info.limits, { maxBufferSize: 12 * 16 * 16 * 4 });
    const limits: number[] = [];
    const { engine, close } = await pairOf(
      LM("", "layer: Residual(Layer(dim, 2, hidden: 24))", "x = layer(x)", 400),
      lossy,
      5,
      {
        memory: 4096,
        chunk: 7,
        recover: async () => ({ device: await openDevice() }),
        observer: { cacheLimited: (bytes) => void limits.push(bytes) },
      },
    );
    const prompt = Array.from({ length: 50 }, (_, i) => (i * i) % 13);
    const long = answerOf(engine.submit({ prompt, maxTokens: 250 }));
    // Another needs pages beside it, which cannot be had.
    const others = Array.from({ length: 8 }, (_, i) =>
      answerOf(engine.submit({ prompt: [i, ...prompt], maxTokens: 40 })),
    );
    while (limits.length === 0) await new Promise((resolve) => void setTimeout(resolve, 5));
    lossy.gpu.destroy();
    const { tokens } = await long;
    expect([tokens.length, tokens.at(-1)!.finish]).toEqual([250, "length"]);
    for (const other of others) expect((await other).tokens).toHaveLength(40);
    await close();
  });
});

describe("an engine that is closed during a recovery", () => {
  const within = async (milliseconds: number, work: Promise<unknown>): Promise<boolean> => {
    let timer: ReturnType<typeof setTimeout>;
    const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
    return Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer));
  };
  const errorOf = (stream: ReturnType<typeof answerOf>): Promise<unknown> => stream.catch((error: unknown) => error);

  /** An engine whose first device is lost under two requests, and which has begun to recover. */
  async function recovering(recover: NonNullable<EngineOptions["recover"]>, weights = ready) {
    const { generation } = compileGeneration(MODELS["dense"]!, { target: device.target, caches: "pages" });
    const values = randomWeights(generation!.prompt, 8);
    const [lossy, asked] = [await openDevice(), promised<void>()];
    let loads = 0;
    const engine = await createEngine(
      generation!,
      lossy,
      async ({ path }) => {
        if (path === generation!.prompt.weights[0]!.path) loads++;
        await weights(loads);
        return values.get(path)!.data;
      },
      {
        maxBatch: 1,
        recover(lost) {
          asked.resolve();
          return recover(lost);
        },
      },
    );
    // The second waits for the first.
    const texts = [1, 2].map((token) => errorOf(answerOf(engine.submit({ prompt: [token], maxTokens: 20 }))));
    lossy.gpu.destroy();
    await asked.promise;
    return { engine, texts };
  }
  const ready = async (_loads: number): Promise<void> => {};

  async function expectClosed({ engine, texts }: Awaited<ReturnType<typeof recovering>>): Promise<void> {
    expect(engine.state.ready).toBe(false);
    expect(await within(1000, engine.close())).toBe(true);
    for (const error of await Promise.all(texts)) expect(error).toBeInstanceOf(EngineClosedError);
    expect(() => engine.submit({ prompt: [1], maxTokens: 1 })).toThrow(EngineClosedError);
  }

  it("destroys a device that arrives afterwards", async () => {
    const arrival = promised<{ device: Device }>();
    await expectClosed(await recovering(() => arrival.promise));
    const other = await openDevice();
    arrival.resolve({ device: other });
    expect((await other.lost).reason).toBe("destroyed");
  });

  it("takes no error of a device that does not arrive afterwards", async () => {
    const arrival = promised<{ device: Device }>();
    await expectClosed(await recovering(() => arrival.promise));
    arrival.reject(new Error("there is no other"));
    await arrival.promise.catch(() => {});
  });

  it.each(["arrive afterwards", "never arrive"])(
    "destroys a device whose weights %s",
    { tags: "long" },
    async (when) => {
      const [reading, weights] = [promised<void>(), promised<void>()];
      const other = await openDevice();
      const closed = await recovering(
        async () => ({ device: other }),
        async (loads) => {
          if (loads === 1) return;
          reading.resolve();
          await weights.promise;
        },
      );
      await reading.promise;
      await expectClosed(closed);
      expect((await other.lost).reason).toBe("destroyed");
      if (when === "arrive afterwards") weights.resolve();
      await new Promise((resolve) => void setTimeout(resolve, 50));
    },
  );

  it("does so when nothing is asked of it", async () => {
    const lossy = await openDevice();
    const lost = promised<{ reason: string; message: string }>();
    Object.defineProperty(lossy.gpu, "lost", { value: lost.promise });
    const [asked, arrival] = [promised<void>(), promised<{ device: Device }>()];
    const { engine, close } = await pairOf(MODELS["dense"]!, await openDevice({ device: lossy.gpu }), 8, {
      recover() {
        asked.resolve();
        return arrival.promise;
      },
    });
    lost.resolve({ reason: "unknown", message: "unplugged" });
    await asked.promise;
    expect(await within(1000, engine.close())).toBe(true);
    const other = await openDevice();
    arrival.resolve({ device: other });
    expect((await other.lost).reason).toBe("destroyed");
    await close();
    lossy.destroy();
  });
});
