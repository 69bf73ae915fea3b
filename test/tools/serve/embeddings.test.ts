// Embeddings of models with a pooled result, alone or beside logits: what the reference gives for each text.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { openDevice, type Device } from "../../../src/runtime/index.js";
import { QueueFullError } from "../../../src/generation/engine/index.js";
import { createServer, Metrics, type RequestEntry, type Server } from "../../../src/tools/serve/index.js";
import { compilePooled, ModelEmbedder } from "../../../src/tools/session/embedder-node.js";
import { openEngine, type OpenedEngine } from "../../../src/tools/session/index.js";
import { temporaryFolder } from "../cli/spawn.js";
import { sparingDevice } from "../../device.js";
import { randomWeights } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";
import { ask, bytes } from "./asked.js";

const SOURCE = `import { Embedding, Layer, MoD, RMSNorm } from "std"

model Pooled(vocab: int = 256, dim: int = 16) {
  embed: Embedding(vocab, dim)
  some:  MoD(Layer(dim, 2), dim, 50%)
  norm:  RMSNorm(dim)
  forward(tokens: u32[B, T <= 40]) -> f32[B, dim] {
    mean(norm(some(embed(tokens))), axis: 1)
  }
}
`;
const TEXTS = [
  "Call me Ishmael.",
  "x",
  "It was the whiteness of the whale",
  ...Array.from({ length: 18 }, (_, i) => `n${i}`),
];
const folder = temporaryFolder();
const { graph, model } = optimized(SOURCE);
const weights = randomWeights(model, 3, 2);
let device: Device;
let opened: OpenedEngine;
let server: Server;
beforeAll(async () => {
  device = await sparingDevice();
  const file = folder.file("pooled.mod", SOURCE);
  opened = await openEngine(file, { device, weights: ({ path }) => weights.get(path)!.data });
  server = createServer({ ...opened, ...opened.texts });
});
afterAll(async () => {
  await opened.close();
  device.destroy();
  folder.remove();
});

describe("a pooled result", () => {
  it("is not waited for where the server is cut off", async () => {
    let begun = (): void => {};
    const begins = new Promise<void>((resolve) => (begun = resolve));
    const embed = (): Promise<never> => {
      begun();
      return new Promise(() => {}); // a run that takes long
    };
    const own = createServer({ ...opened, ...opened.texts, embedder: { dimensions: 16, context: 40, embed } });
    const asked = ask(own, "/v1/embeddings", { model: "Pooled", input: "call me" });
    await begins;
    own.cutOff();
    expect((await asked).json).toMatchObject({ error: { code: "cut_off" } });
  });

  it("is what the reference gives for each text, many at once", async () => {
    const { json } = await ask(server, "/v1/embeddings", { model: "Pooled", input: TEXTS });
    expect(json.data).toHaveLength(TEXTS.length);
    for (const [i, text] of TEXTS.entries()) {
      const { outputs } = evaluate(graph, { inputs: new Map([["tokens", [[...bytes(text)]]]]), weights });
      const wanted = [...outputs.values()].find(({ shape }) => shape.length === 2)!.data;
      const { embedding } = json.data[i] as { readonly embedding: readonly number[] };
      embedding.forEach((value, d) => expect(Math.abs(value - wanted[d]!)).toBeLessThan(1e-4));
    }
  });

  it("is read by OpenAI's client, which asks for bytes", async () => {
    const client = new OpenAI({
      apiKey: "none",
      baseURL: "http://localhost/v1",
      fetch: (url, init) => server.fetch(new Request(url, init)),
    });
    const { data } = await client.embeddings.create({ model: "Pooled", input: TEXTS[0]! });
    const { json } = await ask(server, "/v1/embeddings", { input: TEXTS[0] });
    expect(data[0]!.embedding).toEqual(json.data[0].embedding);
    expect(data[0]!.embedding).toHaveLength(16);
  });

  it("is had again at a later request where no other device opened at once", async () => {
    const own = { text: SOURCE, file: "pooled.mod" };
    const source = { source: own, read: () => null, texts: opened.texts, weights: null };
    let current = await openDevice();
    let fails = 2;
    const embedder = await ModelEmbedder.load(source, {}, compilePooled(source, {}, current)!, async (lost) => {
      if (!lost) return current;
      if (fails-- > 0) throw new Error("not yet");
      return (current = await openDevice());
    });
    const { signal } = new AbortController();
    const wanted = await embedder.embed([[1, 2, 3]], signal);
    current.gpu.destroy();
    for (let i = 0; i < 2; i++) await expect(embedder.embed([[1, 2, 3]], signal)).rejects.toThrow("not yet");
    expect(await embedder.embed([[1, 2, 3]], signal)).toEqual(wanted);
    await embedder.dispose();
    await expect(embedder.embed([[1]], signal)).rejects.toMatchObject({ code: "disposed" });
    current.destroy();
  });

  it("has a bound where the model has none", async () => {
    const unbounded = folder.file("unbounded.mod", SOURCE.replace(" <= 40", ""));
    const model = await openEngine(unbounded, { device });
    const long = { input: Array<number>(4097).fill(1) };
    for (const [context, message] of [
      [undefined, "a text may have 4096 tokens here, text 0 has 4097"],
      [50, "a text may have 50 tokens here, text 0 has 4097"],
    ] as const) {
      const own = createServer({ ...model, ...model.texts, ...(context && { context }) });
      expect((await ask(own, "/v1/embeddings", long)).json.error).toMatchObject({ message, param: "input" });
      expect((await ask(own, "/v1/models")).json.data[0].max_model_len).toBe(context ?? 4096);
    }
    await model.close();
  });

  it("has another device soon where its own is lost while nothing is asked", { tags: "long" }, async () => {
    const lossy = await openDevice();
    let lose = (): void => {};
    const lost = new Promise<{ reason: string; message: string }>((resolve) => {
      lose = () => resolve({ reason: "unknown", message: "unplugged" });
    });
    Object.defineProperty(lossy.gpu, "lost", { value: lost });
    const wrapped = await openDevice({ device: lossy.gpu });
    const source = {
      source: { text: SOURCE, file: "pooled.mod" },
      read: () => null,
      texts: opened.texts,
      weights: null,
    };
    let next: Device | null = null;
    const embedder = await ModelEmbedder.load(source, {}, compilePooled(source, {}, wrapped)!, async (loss) =>
      loss ? (next = await openDevice()) : wrapped,
    );
    lose();
    while (embedder.state.lost === 0) await new Promise((resolve) => void setTimeout(resolve, 5));
    expect(embedder.state).toMatchObject({ lost: 1, ready: false });
    while (!embedder.state.ready) await new Promise((resolve) => void setTimeout(resolve, 20));
    expect(await embedder.embed([[1, 2]], new AbortController().signal)).toHaveLength(1);
    await embedder.dispose();
    lossy.destroy();
    next!.destroy();
  });

  it("has a bound, and is no text", async () => {
    const long = await ask(server, "/v1/embeddings", { input: "x".repeat(41) });
    expect(long.json.error.code).toBe("context_length_exceeded");
    const { status, json } = await ask(server, "/v1/completions", { prompt: "x", max_tokens: 2 });
    expect([status, json.error.message]).toEqual([400, expect.stringContaining("embeddings, not text")]);
  });

  it("is all that makes up for a model that does not generate", async () => {
    const other = folder.file(
      "other.mod",
      SOURCE.replace("f32[B, dim]", "f32[B, 1, dim]").replace("1)", "1, keep: true)"),
    );
    await expect(openEngine(other, { device })).rejects.toThrow(/`mean` reads all tokens of the sequence/);
    await expect(openEngine(folder.file("none.mod", "model"), { device })).rejects.toThrow(/error/);
  });
});

describe("a server of embeddings", () => {
  const file = (): string => folder.file("served.mod", SOURCE);

  it("refuses what its queue has no room for, and counts what it reads", async () => {
    const metrics = new Metrics();
    const entries: RequestEntry[] = [];
    const model = await openEngine(file(), { device, maxBatch: 2, queue: 3, observer: metrics });
    const own = createServer({ ...model, ...model.texts, metrics, log: (entry) => entries.push(entry) });
    const input = ["a", "bc"];
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask(own, "/v1/embeddings", { input })));
    const taken = replies.filter(({ status }) => status === 200);
    const full = replies.filter(({ status }) => status === 429);
    expect([taken.length, full.length]).toEqual([2, 18]);
    expect(full[0]!.json.error).toMatchObject({ code: "queue_full" });
    expect(Number(full[0]!.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(entries.filter(({ status }) => status === 200).map((entry) => [entry.outcome, entry.promptTokens])).toEqual([
      ["finished", 3],
      ["finished", 3],
    ]);
    const { text } = await ask(own, "/metrics");
    expect(text).toContain('modc_tokens_read_total{kind="prompt"} 6\n');
    expect(text).toContain('modc_texts_total{outcome="finished"} 4\n');
    expect((await ask(own, "/v1/embeddings", { input })).status).toBe(200);
    await model.close();
  });

  it("forgets those that went away while they waited", async () => {
    const model = await openEngine(file(), { device, maxBatch: 1, queue: 1 });
    const [first, gone] = [new AbortController(), new AbortController()];
    const running = model.embedder!.embed([[1]], first.signal);
    const waiting = model.embedder!.embed([[2]], gone.signal);
    await expect(model.embedder!.embed([[3]], first.signal)).rejects.toThrow(QueueFullError);
    gone.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    const next = model.embedder!.embed([[3]], first.signal);
    expect([(await running).length, (await next).length, model.engine.state.queued]).toEqual([1, 1, 0]);
    await model.close();
  });

  it("is not ready while it has no device, and says how many it lost", async () => {
    const metrics = new Metrics();
    let [current, fails] = [await openDevice(), 1];
    const model = await openEngine(file(), {
      device: current,
      observer: metrics,
      recover: async () => {
        if (fails-- > 0) throw new Error("not yet");
        return { device: (current = await openDevice()) };
      },
    });
    const own = createServer({ ...model, ...model.texts, metrics });
    const said = async (): Promise<readonly unknown[]> => [
      (await ask(own, "/readyz")).status,
      /modc_device_losses_total (\d)/.exec((await ask(own, "/metrics")).text)![1],
      model.engine.state.lost,
    ];
    expect(await said()).toEqual([200, "0", 0]);
    current.gpu.destroy();
    const { status, json } = await ask(own, "/v1/embeddings", { input: "x" });
    expect([status, json.error.code]).toEqual([503, "device_lost"]);
    expect(await said()).toEqual([503, "1", 1]);
    expect((await ask(own, "/v1/embeddings", { input: "x" })).status).toBe(200);
    expect(await said()).toEqual([200, "1", 1]);
    await model.close();
  });

  it("becomes ready again without a request, which a balancer would not send", { tags: "long" }, async () => {
    let [current, fails] = [await openDevice(), 1];
    const model = await openEngine(file(), {
      device: current,
      recover: async () => {
        if (fails-- > 0) throw new Error("not yet");
        return { device: (current = await openDevice()) };
      },
    });
    current.gpu.destroy();
    await expect(model.embedder!.embed([[1]], new AbortController().signal)).rejects.toThrow("not yet");
    expect(model.engine.state.ready).toBe(false);
    for (let i = 0; !model.engine.state.ready && i < 500; i++)
      await new Promise((resolve) => void setTimeout(resolve, 20));
    expect([model.engine.state.ready, model.engine.state.lost]).toEqual([true, 1]);
    await model.close();
  });

  it("refuses options of texts that are generated, and takes those that say the same", async () => {
    for (const option of [{ draft: "routes" }, { cacheMemory: 2 ** 20 }, { chunk: 64 }] as const)
      await expect(openEngine(file(), { device, ...option })).rejects.toMatchObject({
        code: "bad-input",
        input: Object.keys(option)[0],
        exit: 2,
        message: expect.stringContaining("has no effect on an embedding model"),
      });
    await expect(openEngine(file(), { device, queue: -1 })).rejects.toThrow(/^queue is -1/);
    await (await openEngine(file(), { device, draft: "off" })).close();
  });
});
