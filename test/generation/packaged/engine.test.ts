// A package for several callers: calls at once share an engine, and each has the tokens that a package without one
// gives it.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GeneratedText, Summary, TokenConstraint } from "../../../src/generation/generate/index.js";
import type { LoadedModel, PackagedModel } from "../../../src/generation/packaged/model.js";
import { generationOf, packageOf, programOf, startingWeights, type BuiltPackage } from "../../tools/build/packages.js";
import { root } from "../../tools/cli/spawn.js";

const MOBY = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const SMALL = { dim: 32, depth: 2, context: 64 };
const MAX_BATCH = 3;
const folder = mkdtempSync(join(tmpdir(), "modc-engine-"));

async function onDisk(name: string, { files }: BuiltPackage): Promise<PackagedModel> {
  const place = join(folder, name);
  for (const [file, bytes] of files) {
    mkdirSync(dirname(join(place, file)), { recursive: true });
    writeFileSync(join(place, file), bytes);
  }
  // what modc build writes
  return ((await import(pathToFileURL(join(place, "index.js")).href)) as { readonly default: PackagedModel }).default;
}

interface Collected {
  readonly tokens: readonly GeneratedText[];
  readonly text: string;
  readonly summary: Summary;
}
async function collect(generated: ReturnType<LoadedModel["generate"]>): Promise<Collected> {
  const tokens: GeneratedText[] = [];
  for (;;) {
    const next = await generated.next();
    if (next.done) return { tokens, text: tokens.map(({ text }) => text).join(""), summary: next.value };
    tokens.push(next.value);
  }
}

const run = programOf(MOBY, SMALL);
const weights = startingWeights(run);
let turns: LoadedModel;
let batch: LoadedModel;
const kernels: number[] = [];

beforeAll(async () => {
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(join(root, "node_modules", "webgpu"), join(folder, "node_modules", "webgpu"), "dir");
  const programs = { run, generation: generationOf(MOBY, SMALL) };
  turns = await (await onDisk("turns", await packageOf(run, { programs, weights }))).load({ use: "generate" });
  const paged = { run, generation: generationOf(MOBY, SMALL, "pages"), maxBatch: MAX_BATCH };
  const model = await onDisk("batch", await packageOf(run, { programs: paged, weights }));
  batch = await model.load({
    warm: true,
    onProgress: ({ stage, done }) => void (stage === "kernels" && kernels.push(done)),
  });
}, 180_000);
afterAll(() => {
  turns.dispose();
  batch.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const PROMPTS = ["Call me", "Some years ago", "The whale", "Ishmael", "It is"];

describe("a package for several callers", { timeout: 120_000 }, () => {
  it(
    "gives each of more calls at once than it generates together what it gives them alone",
    { tags: "long" },
    async () => {
      const options = (i: number) => ({
        maxTokens: 8 + i,
        ...(i % 2 === 1 && { sampling: { temperature: 0.9, topK: 50, seed: i } }),
      });
      const alone: Collected[] = [];
      for (const [i, prompt] of PROMPTS.entries()) alone.push(await collect(turns.generate(prompt, options(i))));
      const before = kernels.length;
      const ended: number[] = [];
      const together = await Promise.all(
        PROMPTS.map(async (prompt, i) => {
          const result = await collect(batch.generate(prompt, options(i)));
          ended.push(i);
          return result;
        }),
      );
      expect(together.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
      for (const [i, { summary }] of together.entries()) {
        const { promptTokens, generatedTokens, routes } = alone[i]!.summary;
        expect(summary).toMatchObject({ promptTokens, generatedTokens, routes });
        expect(summary.cache.used).toBe(alone[i]!.summary.cache.used);
        expect(summary.flops!.own / alone[i]!.summary.flops!.own).toBeCloseTo(1, 1);
      }
      expect(kernels, "it was loaded warm").toHaveLength(before);
      expect(ended.at(-1), "the last text waited for a place").toBe(PROMPTS.length - 1);
      const bytes = Uint8Array.from(PROMPTS[0]!, (c) => c.charCodeAt(0));
      expect((await batch.run({ tokens: [[...bytes]] }))["output"]!.shape).toEqual([1, bytes.length, 256]);
    },
  );

  it("generates inside the loop of another generation", async () => {
    const wanted = await collect(turns.generate("Ishmael", { maxTokens: 3 }));
    let inner: Collected | null = null;
    for await (const { index } of batch.generate("Call me", { maxTokens: 4 }))
      if (index === 1) inner = await collect(batch.generate("Ishmael", { maxTokens: 3 }));
    expect(inner!.tokens).toEqual(wanted.tokens);
  });

  it("continues several prompts of a call, with sampling for all or for each", async () => {
    for (const sampling of [{ temperature: 1, seed: 5 }, PROMPTS.map((_, i) => ({ temperature: 0.5 + i / 10 }))]) {
      const options = { maxTokens: 5, sampling };
      const texts = async (model: LoadedModel): Promise<readonly (readonly GeneratedText[])[]> => {
        const { tokens } = await collect(model.generate({ prompts: PROMPTS }, options));
        return PROMPTS.map((_, i) => tokens.filter(({ sequence }) => sequence === i));
      };
      expect(await texts(batch)).toEqual(await texts(turns));
    }
  });

  it("holds each text to its constraint, and refuses what it cannot do", async () => {
    /** So many letters of two kinds, and then the end. */
    const letters = (count: number): TokenConstraint => {
      let left = count;
      const tokens = new Uint32Array(8);
      tokens[3] = (1 << 1) | (1 << 2); // a and b
      return { next: () => ({ tokens, end: false }), add: () => --left === 0 };
    };
    const held = (model: LoadedModel) =>
      collect(
        model.generate({ prompts: PROMPTS.slice(0, 2) }, { maxTokens: 9, constraints: [letters(3), letters(5)] }),
      );
    const { tokens } = await held(batch);
    const texts = [0, 1].map((i) =>
      tokens
        .filter(({ sequence }) => sequence === i)
        .map(({ text }) => text)
        .join(""),
    );
    expect(texts).toEqual([expect.stringMatching(/^[ab]{3}$/), expect.stringMatching(/^[ab]{5}$/)]);
    const alone = (await held(turns)).tokens;
    expect(texts).toEqual(
      [0, 1].map((i) =>
        alone
          .filter(({ sequence }) => sequence === i)
          .map(({ text }) => text)
          .join(""),
      ),
    );
    const observe = { outputs: [], add() {} };
    await expect(collect(batch.generate("a", { maxTokens: 2, observe }))).rejects.toThrow("there is no option observe");
  });

  it(
    "ends a text at its stop string, its context or a token, with the text of each token in its place",
    { tags: "long" },
    async () => {
      const { text, tokens } = await collect(turns.generate("Call me", { maxTokens: 12 }));
      for (const options of [{ maxTokens: 12, stop: text.slice(5, 7) }, {}, { ends: [tokens[4]!.token] }]) {
        const wanted = await collect(turns.generate("Call me", options));
        const found = batch.generate("Call me", options);
        const first = await found.next();
        await new Promise((resolve) => setTimeout(resolve, 200)); // the engine is ahead of its reader
        expect([first.value, ...(await collect(found)).tokens]).toEqual(wanted.tokens);
      }
    },
  );

  it("computes log-probabilities when they are asked for", async () => {
    const options = { maxTokens: 4, sampling: { logprobs: true } };
    const wanted = (await collect(turns.generate("Call me", options))).tokens;
    const { tokens } = await collect(batch.generate("Call me", options));
    for (const [i, { logprob }] of tokens.entries()) expect(logprob).toBeCloseTo(wanted[i]!.logprob!, 4);
  });

  it("ends a call that is aborted or left, and refuses what it cannot run, without harm to others", async () => {
    const wanted = await collect(turns.generate("Some years ago", { maxTokens: 16 }));
    const other = collect(batch.generate("Some years ago", { maxTokens: 16 }));
    const control = new AbortController();
    const aborted = batch.generate("Call me", { signal: control.signal });
    await aborted.next();
    control.abort(new Error("no longer wanted"));
    await expect(collect(aborted)).rejects.toThrow("no longer wanted");
    for await (const _ of batch.generate("a")) break;
    await expect(collect(batch.generate([999]))).rejects.toThrow("token 0 of the prompt is 999");
    await expect(collect(batch.generate("a", { sampling: { temperature: -1 } }))).rejects.toThrow(
      "temperature must be",
    );
    await expect(collect(batch.generate("a", { maxTokens: 0 }))).rejects.toThrow("maxTokens is 0");
    expect((await other).tokens).toEqual(wanted.tokens);
  });

  it("ends the calls under way when it is disposed of, and takes no more", async () => {
    const model = (await import(pathToFileURL(join(folder, "batch", "index.js")).href)) as {
      readonly default: PackagedModel; // what modc build writes
    };
    const own = await model.default.load({ use: "generate" });
    const under = own.generate("Call me");
    await under.next();
    own.dispose();
    const disposed = { name: "DisposedError", code: "disposed" };
    await expect(collect(under)).rejects.toMatchObject(disposed);
    await expect(collect(own.generate("Call me"))).rejects.toMatchObject(disposed);
    expect(await own.lost).toMatchObject({ code: "device-lost" });
  });
});
