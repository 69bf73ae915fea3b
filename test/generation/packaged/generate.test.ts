// A built package generates what the generator it was made from does: texts from bytes, through a tokenizer and a chat
// template, by the defaults of its checkpoint.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGenerator, type Generation } from "../../../src/generation/generate/index.js";
import type { LoadedModel, LoadModelOptions, PackagedModel } from "../../../src/generation/packaged/model.js";
import { load } from "../../../src/runtime/index.js";
import { openDevice } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { generationOf, packageOf, programOf, startingWeights, type BuiltPackage } from "../../tools/build/packages.js";
import { root } from "../../tools/cli/spawn.js";
import { SENTENCE_PIECE } from "../../models/tokenizer/files.js";

const MOBY = readFileSync(new URL("../../../examples/moby.mod", import.meta.url), "utf8");
const SMALL = { dim: 32, depth: 2, context: 64 };
/** As many tokens as SENTENCE_PIECE has. */
const PIECES = { ...SMALL, vocab: 275 };
const folder = mkdtempSync(join(tmpdir(), "modc-generate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As a user's program has it: through the files on disk. */
async function onDisk(name: string, { files }: BuiltPackage): Promise<PackagedModel> {
  const place = join(folder, name);
  for (const [file, bytes] of files) {
    mkdirSync(dirname(join(place, file)), { recursive: true });
    writeFileSync(join(place, file), bytes);
  }
  // what modc build writes
  return ((await import(pathToFileURL(join(place, "index.js")).href)) as { readonly default: PackagedModel }).default;
}

async function loaded<T>(
  model: PackagedModel,
  body: (loaded: LoadedModel) => Promise<T>,
  options: LoadModelOptions = {},
): Promise<T> {
  const own = await model.load(options);
  try {
    return await body(own);
  } finally {
    own.dispose();
  }
}

type Generated = Awaited<ReturnType<typeof collect>>;
async function collect(tokens: ReturnType<LoadedModel["generate"]>) {
  const texts: string[] = [];
  const ids: number[][] = [];
  for (;;) {
    const next = await tokens.next();
    if (next.done) return { texts, ids, summary: next.value };
    const { sequence, text, token } = next.value;
    texts[sequence] = (texts[sequence] ?? "") + text;
    (ids[sequence] ??= []).push(token);
  }
}

/** What the generator gives for tokens, by the most likely one. */
async function expected(
  generation: Generation,
  weights: ReturnType<typeof startingWeights>,
  prompt: readonly number[],
  maxTokens: number,
): Promise<readonly number[]> {
  const device = await sparingDevice();
  const generator = await createGenerator(generation, device, weights);
  const tokens: number[] = [];
  for await (const { token } of generator.generate([prompt], { maxTokens })) tokens.push(token);
  generator.dispose();
  device.destroy();
  return tokens;
}

beforeAll(() => {
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(join(root, "node_modules", "webgpu"), join(folder, "node_modules", "webgpu"), "dir");
});

describe("of a model that reads bytes", { timeout: 60_000 }, () => {
  const run = programOf(MOBY, SMALL);
  const generation = generationOf(MOBY, SMALL);
  const weights = startingWeights(run);
  let model: PackagedModel;
  beforeAll(
    async () => void (model = await onDisk("bytes", await packageOf(run, { programs: { run, generation }, weights }))),
  );

  it("goes on from a text as the generator does, and runs as a session does", { tags: "long" }, async () => {
    const bytes = [...new TextEncoder().encode("Call me")];
    const wanted = await expected(generation, weights, bytes, 12);
    const device = await sparingDevice();
    const session = await load(run, device, weights);
    const logits = (await session.run({ tokens: [bytes] }))["output"]!.data;
    session.dispose();
    device.destroy();
    await loaded(model, async (own) => {
      const { ids, texts, summary } = await collect(own.generate("Call me", { maxTokens: 12 }));
      expect(ids).toEqual([wanted]);
      expect(texts).toEqual([new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(wanted))]);
      expect(summary).toMatchObject({ promptTokens: 7, generatedTokens: 12 });
      expect((await own.run({ tokens: [bytes] }))["output"]!.data).toEqual(logits);
    });
  });

  it("goes on from several prompts, each as it does alone", { tags: "long" }, async () => {
    const prompts = ["Call me", [83, 111], "Ishmael. Some"];
    await loaded(
      model,
      async (own) => {
        const alone: Generated[] = [];
        for (const prompt of prompts) alone.push(await collect(own.generate(prompt, { maxTokens: 8 })));
        const { ids } = await collect(own.generate({ prompts }, { maxTokens: 8 }));
        expect(ids).toEqual(alone.map((a) => a.ids[0]));
      },
      { use: "generate" },
    );
  });

  it(
    "calls at once take turns in their order, each with its own text; one that is aborted leaves the queue",
    { tags: "long" },
    async () => {
      await loaded(
        model,
        async (own) => {
          const prompts = ["Call me", "Ishmael", "Some years"];
          const alone: Generated[] = [];
          for (const prompt of prompts) alone.push(await collect(own.generate(prompt, { maxTokens: 6 })));
          const ended: number[] = [];
          const control = new AbortController();
          const [first, ...others] = prompts.map(async (prompt, i) => {
            const result = await collect(own.generate(prompt, { maxTokens: 6 }));
            ended.push(i);
            return result;
          });
          const aborted = collect(own.generate("a", { maxTokens: 6, signal: control.signal }));
          const last = collect(own.generate(prompts[0]!, { maxTokens: 6 }));
          control.abort(new Error("no longer wanted"));
          await expect(aborted).rejects.toThrow("no longer wanted");
          const together = await Promise.all([first!, ...others]);
          expect(together.map(({ ids }) => ids)).toEqual(alone.map(({ ids }) => ids));
          expect(ended).toEqual([0, 1, 2]);
          expect((await last).ids).toEqual(alone[0]!.ids);
          // A loop that is left, and a call that fails, end their turns.
          for await (const _ of own.generate("a", { maxTokens: 6 })) break;
          await expect(collect(own.generate([999]))).rejects.toThrow("token 0 of the prompt is 999");
          expect((await collect(own.generate(prompts[1]!, { maxTokens: 6 }))).ids).toEqual(alone[1]!.ids);
        },
        { use: "generate" },
      );
    },
  );

  it("generates within the loop of another call, whose reader waits for it, and of one that is never read on", async () => {
    await loaded(
      model,
      async (own) => {
        const alone = await collect(own.generate("Call me", { maxTokens: 6 }));
        const inner: Generated[] = [];
        const outer: number[] = [];
        for await (const { token } of own.generate("Call me", { maxTokens: 6 })) {
          outer.push(token);
          inner.push(await collect(own.generate("Call me", { maxTokens: 6 })));
        }
        expect(outer).toEqual(alone.ids[0]);
        expect(inner.map(({ ids }) => ids)).toEqual(outer.map(() => alone.ids));
        const left = own.generate("Call me", { maxTokens: 6 });
        await left.next();
        expect((await collect(own.generate("Call me", { maxTokens: 6 }))).ids).toEqual(alone.ids);
      },
      { use: "generate" },
    );
  });

  it("rejects the calls that wait for their turn, and later ones, once it is disposed of", async () => {
    const own = await model.load({ use: "generate" });
    const first = own.generate("Call me", { maxTokens: 6 });
    await first.next();
    const waiting = expect(collect(own.generate("Call me", { maxTokens: 6 }))).rejects.toThrow("disposed");
    own.dispose();
    await waiting;
    await expect(collect(own.generate("Call me", { maxTokens: 6 }))).rejects.toThrow("disposed");
  });

  it("rejects the calls that wait for their turn, and later ones, once the device is lost", async () => {
    const device = await openDevice();
    const own = await model.load({ use: "generate", device: device.gpu });
    const first = own.generate("Call me", { maxTokens: 6 });
    await first.next();
    const lost = { name: "DeviceLostError", code: "device-lost" };
    const waiting = expect(collect(own.generate("Call me", { maxTokens: 6 }))).rejects.toMatchObject(lost);
    device.destroy();
    await waiting;
    await expect(collect(own.generate("Call me", { maxTokens: 6 }))).rejects.toMatchObject(lost);
    own.dispose();
  });

  it("refuses an option that load does not have", async () => {
    const mistaken = { use: "generate", maxBatch: 4 } as const;
    await expect(model.load(mistaken)).rejects.toThrow("load has no option maxBatch");
  });

  it("has compiled its kernels when it is loaded warm", { tags: "long" }, async () => {
    const kernels: number[] = [];
    const onProgress = ({ stage, done }: { readonly stage: string; readonly done: number }): void => {
      if (stage === "kernels") kernels.push(done);
    };
    await loaded(
      model,
      async (own) => {
        const before = kernels.length;
        expect(before).toBeGreaterThan(0);
        await own.run({ tokens: [[1, 2, 3]] });
        const { summary } = await collect(own.generate("Call me", { maxTokens: 4 }));
        await collect(own.generate("Call me", { maxTokens: 4, sampling: { temperature: 1 } }));
        expect(kernels).toHaveLength(before);
        expect(summary.compiling).toBeLessThan(5);
      },
      { warm: true, onProgress },
    );
    await expect(model.load({ warm: true, signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  });

  it("says what it was not loaded for", { tags: "long" }, async () => {
    await loaded(
      model,
      async (own) => {
        await expect(own.run({ tokens: [[1]] })).rejects.toThrow('loaded with use: "generate"');
      },
      { use: "generate" },
    );
    await loaded(
      model,
      async (own) => {
        await expect(collect(own.generate("a"))).rejects.toThrow('loaded with use: "run"');
      },
      { use: "run" },
    );
    const plain = await onDisk("plain", await packageOf(run, { weights }));
    await loaded(plain, async (own) => {
      await expect(collect(own.generate("a"))).rejects.toThrow("the model does not generate");
    });
    await expect(model.load({ use: "train" as never })).rejects.toThrow('use is train, not "run" or "generate"');
    await expect(plain.load({ use: "generate" })).rejects.toThrow("the model does not generate");
    await loaded(
      model,
      async (own) => {
        await expect(collect(own.generate([{ role: "user", content: "a" }]))).rejects.toThrow("no chat template");
      },
      {
        use: "generate",
      },
    );
  });
});

describe("of a model with a tokenizer", { timeout: 60_000 }, () => {
  const run = programOf(MOBY, PIECES);
  const generation = generationOf(MOBY, PIECES);
  const weights = startingWeights(run, 11);
  const config = JSON.stringify({
    bos_token: "<s>",
    eos_token: "</s>",
    chat_template: "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}",
  });
  const tokenizer = { tokenizer: SENTENCE_PIECE, config, template: null };
  let model: PackagedModel;
  beforeAll(async () => {
    const defaults = { ends: [2], maxTokens: 9, sampling: { temperature: 0.7, topK: 40 } };
    model = await onDisk(
      "pieces",
      await packageOf(run, { programs: { run, generation }, weights, tokenizer, defaults }),
    );
  });

  it("reads prompts and chats through it, and generates by the checkpoint's defaults", { tags: "long" }, async () => {
    const the = [1, 273]; // <s> and the merged ▁the, which stands behind the bytes and single characters
    const wanted = await expected(generation, weights, the, 6);
    await loaded(
      model,
      async (own) => {
        const greedy = { sampling: { temperature: 0 }, maxTokens: 6, ends: [] };
        const text = await collect(own.generate("the", greedy));
        expect(text.ids).toEqual([wanted]);
        expect((await collect(own.generate([{ role: "user", content: "the" }], greedy))).ids).toEqual([wanted]);
        // A word that follows keeps its blank.
        const words = { temperature: 0, logitBias: new Map([[273, 1000]]) };
        expect((await collect(own.generate("the", { ...greedy, sampling: words, maxTokens: 2 }))).texts).toEqual([
          " the the",
        ]);
        const drawn = await collect(own.generate("the", { ends: [] }));
        expect(drawn.ids[0]).toHaveLength(9);
        expect(drawn.ids[0]).not.toEqual(wanted);
        expect(
          (await collect(own.generate("the", { ends: [], sampling: { temperature: 0.7, topK: 40 } }))).ids,
        ).toEqual(drawn.ids);
        expect(
          (await collect(own.generate("the", { ends: [], sampling: { topK: 40 } }))).ids,
          "what is not said is the checkpoint's",
        ).toEqual(drawn.ids);
      },
      { use: "generate" },
    );
  });

  it("says by code what a tokenizer refuses", async () => {
    const broken = await onDisk(
      "broken",
      await packageOf(run, { programs: { run, generation }, weights, tokenizer: { ...tokenizer, tokenizer: "{}" } }),
    );
    await expect(broken.load()).rejects.toMatchObject({ name: "TokenizerError", code: "bad-tokenizer" });
  });
});
