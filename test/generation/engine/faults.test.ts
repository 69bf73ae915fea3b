// What goes wrong beside the texts: a device with less memory than it was to have, a run with a fault of its own,
// observers that throw. It ends no text that it does not concern.
import { expect, it } from "vitest";
import type { EngineObserver } from "../../../src/generation/engine/index.js";
import { Buffers } from "../../../src/runtime/steps/buffers.js";
import { openDevice, OutOfMemoryError, Session, type Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { LM, MODELS } from "../generate/models.js";
import { random } from "../../random.js";
import { uncaughtIn } from "../../uncaught.js";
import { aloneOf, answerOf, pairOf, randomRequest } from "./engines.js";

/** A page of the keys, and of the values, of a layer: 16 rows of 16 floats. */
const PAGE = 16 * 16 * 4;
const LONG = LM("", "layer: Residual(Layer(dim, 2, hidden: 24))", "x = layer(x)", 400);

/** A device whose buffers have so many bytes at most. */
async function smallDevice(bytes: number): Promise<Device> {
  const device = await sparingDevice();
  Object.assign(device.info.limits, { maxBufferSize: bytes });
  return device;
}

it.each(["dense", "mixture of depths"])(
  "goes on with the memory that the device has: %s",
  { tags: "long" },
  async (name) => {
    const device = await smallDevice(12 * PAGE);
    const limits: number[] = [];
    const { engine, alone, close } = await pairOf(MODELS[name]!, device, 5, {
      memory: 4096,
      chunk: 7,
      observer: { cacheLimited: (bytes) => void limits.push(bytes) },
    });
    const { limit } = engine.state.cache;
    const rng = random(6);
    // Two pages each, of sixteen at once.
    const promptOf = (): number[] => Array.from({ length: 17 }, () => rng.below(13));
    const requests = Array.from({ length: 40 }, () => ({
      ...randomRequest(rng, 13, 12),
      prompt: promptOf(),
      maxTokens: 7,
    }));
    const wanted: (readonly number[])[] = [];
    for (const request of requests) wanted.push(await aloneOf(alone, request));
    const found = await Promise.all(requests.map(async (request) => await answerOf(engine.submit(request))));
    expect(found.map(({ tokens }) => tokens.map(({ token }) => token))).toEqual(wanted);
    expect(limits).toHaveLength(1);
    expect(limits[0]).toBeLessThan(limit);
    const { cache } = engine.state;
    expect([cache.limit, cache.used, cache.kept + cache.free]).toEqual([limits[0], 0, limits[0]]);
    await close();
    device.destroy();
  },
);

it("ends what was taken for more memory than the device has, and takes no more of it", async () => {
  const device = await smallDevice(12 * PAGE);
  const { engine, alone, close } = await pairOf(LONG, device, 5, { memory: 4096, chunk: 7 });
  const prompt = Array.from({ length: 300 }, (_, i) => (i * i) % 13);
  const short = { prompt: [1, 2, 3], maxTokens: 5 };
  const wanted = await aloneOf(alone, short);
  const long = answerOf(engine.submit({ prompt, maxTokens: 3 }));
  const growing = answerOf(engine.submit({ prompt: prompt.slice(0, 100), maxTokens: 300 }));
  const other = answerOf(engine.submit(short));
  await expect(long).rejects.toMatchObject({ code: "cache-full" });
  const { tokens } = await growing;
  expect(tokens.at(-1)).toMatchObject({ finish: "context", index: expect.any(Number) });
  const pages = Math.floor(engine.state.cache.limit / (2 * PAGE));
  expect(100 + tokens.length).toBe(16 * pages + 1);
  expect((await other).tokens.map(({ token }) => token)).toEqual(wanted);
  expect(() => engine.submit({ prompt, maxTokens: 3 })).toThrow("the device has no memory for more of this text");
  await close();
  device.destroy();
});

it("ends the texts of a run that fails, and no others", async () => {
  const device = await sparingDevice();
  const { engine, alone, close } = await pairOf(MODELS["dense"]!, device, 5, { chunk: 7 });
  const request = { prompt: [1, 2, 3], maxTokens: 15 };
  const wanted = await aloneOf(alone, request);
  const running = answerOf(engine.submit(request));
  while (!engine.state.active) await new Promise((resolve) => void setImmediate(resolve));
  const original = Object.getOwnPropertyDescriptor(Session.prototype, "run")!.value as Session["run"];
  // The run whose prompt begins with 12 fails.
  Session.prototype.run = function (this: Session, inputs, options) {
    const fails = Object.values(inputs).some((input) => "data" in input && input.data.includes(12));
    return fails
      ? Promise.reject(new OutOfMemoryError("a buffer", 1e12))
      : Reflect.apply(original, this, [inputs, options]);
  };
  try {
    await expect(answerOf(engine.submit({ prompt: [12, 1], maxTokens: 3 }))).rejects.toThrow("no memory for a buffer");
  } finally {
    Session.prototype.run = original;
  }
  expect((await running).tokens.map(({ token }) => token)).toEqual(wanted);
  expect((await answerOf(engine.submit({ ...request, prompt: [12, 1] }))).tokens).toHaveLength(15);
  await close();
  device.destroy();
});

it("is not disturbed by an observer that throws: that is an uncaught exception", async () => {
  const device = await sparingDevice();
  const events = ["queued", "began", "ended", "ran", "firstToken", "nextToken", "preempted"] as const;
  const fault = (event: string) => () => {
    throw new Error(event);
  };
  const observer: EngineObserver = Object.fromEntries(events.map((event) => [event, fault(event)]));
  const caught = await uncaughtIn(async () => {
    const options = { memory: 32, chunk: 7, maxBatch: 4, observer };
    const { engine, alone, close } = await pairOf(MODELS["dense"]!, device, 5, options);
    const request = { prompt: Array.from({ length: 17 }, (_, i) => i % 13), maxTokens: 7 };
    const wanted = await aloneOf(alone, request);
    const found = await Promise.all(Array.from({ length: 6 }, async () => await answerOf(engine.submit(request))));
    for (const { tokens } of found) expect(tokens.map(({ token }) => token)).toEqual(wanted);
    expect(engine.state).toMatchObject({ active: 0, queued: 0, cache: { used: 0 } });
    await close();
  });
  expect([...caught].toSorted()).toEqual([...events].toSorted());
  device.destroy();
});

it("says of a text that was sent away in its prompt what others had read of it, not what it had itself", async () => {
  const device = await sparingDevice();
  let sentAway = 0;
  const { engine, close } = await pairOf(MODELS["dense"]!, device, 5, {
    memory: 32,
    chunk: 7,
    maxBatch: 4,
    observer: { preempted: () => void sentAway++ },
  });
  const prompts = Array.from({ length: 4 }, (_, i) => Array.from({ length: 20 }, (_token, at) => (at * i + i) % 13));
  const found = await Promise.all(
    prompts.map(async (prompt) => await answerOf(engine.submit({ prompt, maxTokens: 4 }))),
  );
  expect(found.map(({ prompt }) => prompt.cached)).toEqual([0, 0, 0, 0]);
  expect(sentAway).toBeGreaterThan(0);
  await close();
  device.destroy();
});

/** Replaces `Buffers.ensure` until the returned function is called. */
function ensuring(
  ensure: (own: Buffers["ensure"], buffers: Buffers, ...args: Ensuring) => Promise<ReadonlySet<number>>,
) {
  const original = Object.getOwnPropertyDescriptor(Buffers.prototype, "ensure")!.value as Buffers["ensure"];
  Buffers.prototype.ensure = function (this: Buffers, ...args: Ensuring) {
    return ensure(original.bind(this), this, ...args);
  };
  return () => void (Buffers.prototype.ensure = original);
}
type Ensuring = Parameters<Buffers["ensure"]>;

it("goes on with the pools it has where a text needs others that the device has no room for now", async () => {
  const device = await sparingDevice();
  const routed = "layers: [Residual(Layer(dim, 2, hidden: 24)), MoD(Layer(dim, 2, hidden: 24), dim, 25%)]";
  const source = LM("", routed, "for layer in layers { x = layer(x) }", 400);
  const limits: number[] = [];
  const { engine, close } = await pairOf(source, device, 21, {
    memory: 192,
    chunk: 192,
    observer: { cacheLimited: (bytes) => void limits.push(bytes) },
  });
  // These fill the pool of all tokens.
  const short = Array.from({ length: 30 }, (_, at) => at % 13);
  await Promise.all([1, 2, 3, 4].map((i) => answerOf(engine.submit({ prompt: [i, ...short], maxTokens: 25 }))));
  const long = { prompt: Array.from({ length: 180 }, (_, at) => (at * at) % 13), maxTokens: 5 };
  const restore = ensuring((own, _, needed, moves, shrink) =>
    shrink ? Promise.reject(new OutOfMemoryError("a pool", 1e12)) : own(needed, moves, shrink),
  );
  try {
    await expect(answerOf(engine.submit(long))).rejects.toMatchObject({ code: "cache-full" });
  } finally {
    restore();
  }
  expect(limits).toEqual([]);
  expect((await answerOf(engine.submit(long))).tokens).toHaveLength(5);
  await close();
  device.destroy();
});

it("binds new pools though the run that was to use them fails", async () => {
  const device = await sparingDevice();
  const { engine, alone, close } = await pairOf(LONG, device, 5, { memory: 8192, chunk: 7, maxBatch: 8 });
  const short = { prompt: [1, 2, 3], maxTokens: 5 };
  const wanted = await aloneOf(alone, short);
  await Promise.all(Array.from({ length: 8 }, () => answerOf(engine.submit(short))));
  let owner: Buffers | null = null;
  let failed = 0;
  const restore = ensuring((own, buffers, needed, moves, shrink) => {
    if (moves && moves.size > 0) owner = buffers;
    else if (owner && owner !== buffers && needed.some((bytes, slot) => bytes > buffers.bytes(slot))) {
      failed++;
      return Promise.reject(new OutOfMemoryError("an activation", 1e9));
    }
    return own(needed, moves, shrink);
  });
  try {
    const prompt = Array.from({ length: 150 }, (_, i) => (i * i) % 13);
    await expect(answerOf(engine.submit({ prompt, maxTokens: 20 }))).rejects.toThrow("no memory for an activation");
  } finally {
    restore();
  }
  expect(failed).toBeGreaterThan(0);
  expect((await answerOf(engine.submit(short))).tokens.map(({ token }) => token)).toEqual(wanted);
  await close();
  device.destroy();
});

it("reads results again once the device has room for them", async () => {
  const device = await openDevice();
  const { engine, close } = await pairOf(LONG, device, 5, { chunk: 64, maxBatch: 4 });
  const ask = (n: number) =>
    Promise.allSettled(Array.from({ length: n }, () => answerOf(engine.submit({ prompt: [1, 2], maxTokens: 3 }))));
  await ask(1);
  const [create, pop] = [device.gpu.createBuffer.bind(device.gpu), device.gpu.popErrorScope.bind(device.gpu)];
  let refused = 0;
  let next = false;
  Object.assign(device.gpu, {
    createBuffer: (descriptor: GPUBufferDescriptor) => {
      next = descriptor.label === "results";
      return create(descriptor);
    },
    popErrorScope: async () => {
      const own = pop();
      if (!next) return own;
      [next, refused] = [false, refused + 1];
      await own;
      return { message: "no memory" };
    },
  });
  for (const end of await ask(3)) expect(end).toMatchObject({ status: "rejected", reason: { code: "out-of-memory" } });
  Object.assign(device.gpu, { createBuffer: create, popErrorScope: pop });
  expect(refused).toBeGreaterThan(0);
  for (const end of await ask(3)) expect(end).toMatchObject({ status: "fulfilled" });
  await close();
  device.destroy();
});
