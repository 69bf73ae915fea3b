// Requests with live parameters of unlike values, at the same time: each gives the text that it gives alone.
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { LM } from "../generate/models.js";
import { random } from "../../random.js";
import { soaking } from "../../soak.js";
import { aloneOf, answerOf, pairOf, randomRequest, randomWeights } from "./engines.js";

/** A layer whose tokens are chosen by a threshold that may change from request to request. */
const MODEL = LM(
  "",
  `first: Residual(Layer(dim, 2))
  second: Ruled(Layer(dim, 2), dim, share)
  third: Ruled(Layer(dim, 2), dim, share)`,
  "x = third(second(first(x)))",
).replace("dim: int = 16)", "dim: int = 16, live share: float = 0.5)").concat(`
block Ruled(inner: block, dim: int, share: float) {
  guess: Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    chosen = above(sigmoid(guess(x)[..., 0]), share)
    put(x, chosen, inner(take(x, chosen)))
  }
}`);
const SHARES = [0.1, 0.5, 0.9];

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

it.each(["off", "routes"] as const)(
  "unlike live parameters never mix, with drafts: %s",
  { tags: "long" },
  async (draft) => {
    const { engine, alone, close } = await pairOf(MODEL, device, 5, { maxBatch: 4, chunk: 7, draft });
    alone.dispose();
    const { generation } = compileGeneration(MODEL, { target: device.target, caches: "rows" });
    const weights = randomWeights(generation!.prompt, 5);
    const rng = random(3);
    const asked = Array.from({ length: soaking ? 60 : 15 }, (_, i) => ({
      ...randomRequest(rng, 13, 11),
      live: { share: SHARES[i % SHARES.length]! },
    }));
    const wanted = new Map<object, readonly number[]>();
    const computed = new Map<number, number>();
    for (const share of SHARES) {
      const own = await createGenerator(generation!, device, ({ path }) => weights.get(path)!.data, {
        live: { share },
      });
      for (const request of asked.filter(({ live }) => live.share === share)) {
        const { live: _, ...plain } = request;
        wanted.set(request, await aloneOf(own, plain));
      }
      own.dispose();
    }
    const found = await Promise.all(
      asked.map(async (request) => ({ request, answer: await answerOf(engine.submit(request)) })),
    );
    await close();
    for (const { request, answer } of found) {
      expect(answer.tokens.map(({ token }) => token)).toEqual(wanted.get(request));
      const { share } = request.live;
      const layers = answer.tokens.reduce((sum, { depth }) => sum + depth!, 0);
      computed.set(share, (computed.get(share) ?? 0) + layers);
    }
    // A lower threshold computes more.
    expect(computed.get(0.1)).toBeGreaterThan(computed.get(0.9)!);
  },
);

it("live parameters that leave no numbers are their request's fault, and no other's", async () => {
  const scaled = LM("", "layer: Residual(Layer(dim, 2))", "x = layer(x) * scale").replace(
    "dim: int = 16)",
    "dim: int = 16, live scale: float = 1.0)",
  );
  const { engine, close } = await pairOf(scaled, device, 5);
  const ask = (scale: number) => answerOf(engine.submit({ prompt: [1, 2], maxTokens: 3, live: { scale } }));
  const [wrong, right] = await Promise.allSettled([ask(3.4e38), ask(2)]);
  expect(wrong).toMatchObject({ status: "rejected", reason: { code: "bad-input", input: "live" } });
  expect(right).toMatchObject({ value: { tokens: { length: 3 } } });
  await close();
});
