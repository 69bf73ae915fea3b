// While an engine generates a single sequence, it runs `pages.first`. Its results equal the results of `step`, bit for
// bit.
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createEngine, type Engine, type EngineRequest } from "../../../src/generation/engine/index.js";
import type { RowReader } from "../../../src/generation/generate/index.js";
import { type Device, openDevice } from "../../../src/runtime/index.js";
import { Session } from "../../../src/runtime/run/session.js";
import { sparingDevice } from "../../device.js";
import { soaking } from "../../soak.js";
import { MODELS as OTHERS, RECURRENT_MODELS } from "../generate/models.js";
import { aloneOf, answerOf, pairOf, randomWeights } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());
afterEach(() => {
  vi.restoreAllMocks();
});

const MODELS: Readonly<Record<string, string>> = { ...OTHERS, ...RECURRENT_MODELS };
const HYBRID = "a hybrid with a routed layer of each";
const MIXTURE = MODELS["mixture of depths"]!;
/** Models of the short run. */
const SHORT = [
  "dense",
  "mixture of depths",
  "nested routes",
  "routed work without attention",
  "weights of keys",
  HYBRID,
];
const SAMPLED = { temperature: 0.9, seed: 5, repetitionPenalty: 1.3, logitBias: { 3: 0.5 } };

/** Counts the runs of both programs. */
function stepsOf(): { readonly first: () => number; readonly slots: () => number; readonly devices: () => number } {
  const runs = vi.spyOn(Session.prototype, "run");
  const steps = (slots: boolean): readonly Session[] =>
    (runs.mock.contexts as readonly Session[]).filter(({ program: { inputs, states } }) => {
      const names = new Set(inputs.map(({ name }) => name));
      const inSlots = states.some(({ shape }) => shape[0] === "generate.slot");
      return inSlots && !names.has("tokens") && names.has("generate.slots") === slots;
    });
  return {
    first: () => steps(false).length,
    slots: () => steps(true).length,
    devices: () => new Set(steps(false).map((session) => session.device)).size,
  };
}

const tokensOf = async (engine: Engine, request: EngineRequest): Promise<readonly number[]> =>
  (await answerOf(engine.submit(request))).tokens.map(({ token }) => token);

for (const [name, source] of Object.entries(MODELS).filter(([n]) => soaking || SHORT.includes(n)))
  it(`gives equal tokens, and hands over to the step for several and back: ${name}`, { tags: "long" }, async () => {
    const { engine, alone, close } = await pairOf(source, device, 21, { maxBatch: 3 });
    const long = { prompt: [3, 1, 4, 1], maxTokens: 18, sampling: SAMPLED };
    const short = { prompt: [2, 7, 1], maxTokens: 4 };
    const [longAlone, shortAlone] = [await aloneOf(alone, long), await aloneOf(alone, short)];
    const steps = stepsOf();
    const tokens: number[] = [];
    let other: Promise<readonly number[]> | null = null;
    for await (const event of engine.submit(long)) {
      if (event.kind !== "token") continue;
      tokens.push(event.token);
      if (tokens.length === 3) other = tokensOf(engine, short);
    }
    expect(tokens).toEqual(longAlone);
    expect(await other).toEqual(shortAlone);
    expect(steps.first()).toBeGreaterThan(0);
    await close();
  });

/** Models whose rows of weights have whole blocks of q8 and q4. */
const wide = (names: readonly string[]) =>
  Object.entries(MODELS)
    .filter(([name]) => soaking || names.includes(name))
    .map(([name, source]) => [name, source.replace("dim: int = 16", "dim: int = 64")] as const);

for (const stored of ["f32", "f16", "q8", "q4"] as const)
  it.each(wide(stored === "f32" ? SHORT : SHORT.slice(0, 2)))(
    `gives the bits of the step with weights in ${stored}: %s`,
    { tags: "long" },
    async (_, source) => {
      const { generation } = compileGeneration(source, {
        target: device.target,
        caches: "pages",
        precision: { weights: stored },
      });
      const values = randomWeights(generation!.prompt, 21);
      const { pages } = generation!;
      const steps = stepsOf();
      /** By run, the bits of the logits and of the log-probability. */
      const bitsWith = async (first: typeof pages): Promise<readonly (readonly number[])[]> => {
        const own = { ...generation!, ...(first && { pages: first }) };
        const engine = await createEngine(own, device, ({ path }) => values.get(path)!.data, { maxBatch: 3 });
        const runs: number[][] = [];
        const observe: RowReader = {
          outputs: ["logits", "logprob"],
          add: ({ logits, logprob }) =>
            void runs.push([logits!, logprob!].flatMap(({ data }) => [...new Uint32Array(data.slice().buffer)])),
        };
        const sampling = { ...SAMPLED, logprobs: true };
        const { tokens } = await answerOf(engine.submit({ prompt: [3, 1, 4, 1], maxTokens: 18, sampling, observe }));
        await engine.close();
        return [...runs, tokens.map(({ token }) => token)];
      };
      const wanted = await bitsWith({ ...pages!, first: null });
      const before = steps.slots();
      expect([steps.first(), before >= 17]).toEqual([0, true]);
      expect(await bitsWith(pages)).toEqual(wanted);
      expect([steps.first() >= 17, steps.slots()]).toEqual([true, before]);
      // The logits differ from run to run, and are not zeros.
      expect(new Set(wanted.map((bits) => bits.join())).size).toBe(wanted.length);
    },
  );

it("runs for one sequence, and not for two", { tags: "long" }, async () => {
  const { engine, close } = await pairOf(MIXTURE, device, 21, { maxBatch: 3 });
  const steps = stepsOf();
  await tokensOf(engine, { prompt: [3, 1], maxTokens: 8 });
  const alone = steps.first();
  expect([alone >= 7, steps.slots()]).toEqual([true, 0]);
  await Promise.all([1, 2].map((first) => tokensOf(engine, { prompt: [first, 1], maxTokens: 8 })));
  expect([steps.first(), steps.slots() >= 7]).toEqual([alone, true]);
  // The lowest slot is free again.
  await tokensOf(engine, { prompt: [5, 1], maxTokens: 8 });
  expect(steps.first()).toBeGreaterThanOrEqual(alone + 7);
  await close();
});

it("does not run for a sequence in another slot", { tags: "long" }, async () => {
  const { engine, alone, close } = await pairOf(MIXTURE, device, 21, { maxBatch: 3 });
  const steps = stepsOf();
  const requests = [
    { prompt: [1, 1], maxTokens: 2 },
    { prompt: [2, 1], maxTokens: 12 },
  ];
  const [, long] = await Promise.all(requests.map((request) => tokensOf(engine, request)));
  const runs = steps.first();
  expect(long).toEqual(await aloneOf(alone, requests[1]!));
  expect([runs, steps.slots() >= 11]).toEqual([0, true]);
  await close();
});

it("continues on another device", { tags: "long" }, async () => {
  const { alone, close } = await pairOf(MIXTURE, device, 8);
  const request = { prompt: [4, 2], maxTokens: 14, sampling: SAMPLED };
  const wanted = await aloneOf(alone, request);
  const generation = compileGeneration(MIXTURE, { target: device.target, caches: "pages" }).generation!;
  const values = randomWeights(generation.prompt, 8);
  let current = await openDevice();
  const engine = await createEngine(generation, current, ({ path }) => values.get(path)!.data, {
    maxBatch: 3,
    recover: async () => ({ device: (current = await openDevice()) }),
  });
  const steps = stepsOf();
  const tokens: number[] = [];
  for await (const event of engine.submit(request))
    if (event.kind === "token" && tokens.push(event.token) === 5) current.gpu.destroy();
  expect(tokens).toEqual(wanted);
  expect([engine.state.lost, steps.devices(), steps.slots()]).toEqual([1, 2, 0]);
  await engine.close();
  current.destroy();
  await close();
});

it("continues when the other sequence gives up its memory, and reads that one again", { tags: "long" }, async () => {
  let sentAway = 0;
  const observer = { preempted: () => void sentAway++ };
  const { engine, alone, close } = await pairOf(MIXTURE, device, 21, { maxBatch: 2, memory: 32, observer });
  const requests = [1, 2].map((first) => ({ prompt: [first, 3, 1], maxTokens: 20, sampling: SAMPLED }));
  const wanted: (readonly number[])[] = [];
  for (const request of requests) wanted.push(await aloneOf(alone, request));
  const steps = stepsOf();
  expect(await Promise.all(requests.map((request) => tokensOf(engine, request)))).toEqual(wanted);
  expect(sentAway).toBeGreaterThan(0);
  expect([steps.first() > 0, steps.slots() > 0]).toEqual([true, true]);
  await close();
});

it("is compiled with slots alone, and shares their states", () => {
  const pagesOf = (slots: boolean) => compileGeneration(MIXTURE, { caches: "pages", slots }).generation!;
  const { pages, step } = pagesOf(true);
  expect(pages!.first!.inputs.map(({ name }) => name)).not.toContain(pages!.slots!.input);
  const shapes = (states: typeof step.states) => new Map(states.map(({ name, shape }) => [name, shape.join()]));
  expect(shapes(pages!.first!.states)).toEqual(shapes(step.states));
  expect(pages!.first!.steps.length).toBeLessThan(step.steps.length);
  expect(pagesOf(false).pages!.first).toBeNull();
});
