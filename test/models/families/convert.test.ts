// Dense checkpoints as routed models: the same at the start, and what stands in the folder.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { checkpointSource } from "../../../src/models/families/folder-node.js";
import { convertModel, type ConvertOptions, type Converted } from "../../../src/models/made/convert-node.js";
import { closing, openModel } from "../../../src/models/open-node.js";
import { load, readSafetensors } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";
import { compiled, furthest, randomTokens, reference } from "../../end-to-end/model.js";
import { SENTENCE_PIECE } from "../tokenizer/files.js";
import { weightsOf } from "./folder-weights.js";
import { VARIANTS, writeFolder } from "./folders.js";
import { MIXTURES, mixtureTensors } from "./mixture-folders.js";

const root = mkdtempSync(join(tmpdir(), "modc-convert-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const place = (name: string): string => join(root, name);
const ROUTING = { every: 2, capacity: "12.5%" };
const tensorsOf = (folder: string) => readSafetensors(readFileSync(join(folder, "model.safetensors")));
let made = 0;

async function convertFolder(folder: string, output: string, options: ConvertOptions): Promise<Converted> {
  return closing(await openModel(folder), (model) => convertModel(model, output, options));
}

function dense(name: string): string {
  const folder = place(`dense-${made++}`);
  writeFolder(
    folder,
    VARIANTS.find((v) => v.name === name)!,
    31,
  );
  return folder;
}

describe("a converted checkpoint", () => {
  it.each(["Llama", "Qwen2, windows in the last layer", "Qwen3, windows by layer types"])(
    "of %s computes what the dense one does, by either rule",
    { tags: "long" },
    async (name) => {
      const folder = dense(name);
      const out = `${folder}-mod`;
      expect(await convertFolder(folder, out, { routing: ROUTING, seed: 5 })).toMatchObject({
        layers: 3,
        routed: 1,
        added: 64 + 8 * 64 + 8 + 8 + 1,
      });
      const tokens = randomTokens([2, 21], 96, 3);
      const inputs = { tokens };
      const one = compiled(checkpointSource(folder).text);
      const expected = reference(one.graph, await weightsOf(one.program, folder), { inputs }).outputs.get("logits")!;
      for (const phase of ["infer", "generate"] as const) {
        const { program, graph } = compiled(checkpointSource(out).text, { phase });
        const run = reference(graph, await weightsOf(program, out), { inputs });
        // A product by a gate of 1 and a sum in another order.
        const { ratio, text } = furthest(run.outputs.get("logits")!.data, expected.data, 1e-12, 0);
        expect(ratio, `${phase} ${text}`).toBeLessThan(1);
        // one layer is routed
        const [[, route]] = [...run.routes] as [[string, NonNullable<ReturnType<typeof run.routes.get>>]];
        expect(route.chosen.index.data.length, "every token is kept").toBe(42);
        // Half of the tokens skip a layer, and the logits are others.
        if (phase === "generate") continue;
        const fewer = reference(graph, await weightsOf(program, out), { inputs, live: { capacity: "50%" } });
        expect(fewer.routes.values().next().value!.chosen.index.data.length).toBe(22);
        expect(furthest(fewer.outputs.get("logits")!.data, expected.data, 1e-2, 0).ratio).toBeGreaterThan(1);
      }
      const { program } = compiled(checkpointSource(out).text, { phase: "generate" });
      const session = await load(program, await testDevice(), out, { max: { B: 2, T: 21 } });
      // 32-bit sums, as the dense one's are held against PyTorch's.
      const { ratio, text } = furthest((await session.run(inputs)).logits!.data, expected.data, 1e-4, 0);
      expect(ratio, text).toBeLessThan(1);
      session.dispose();
    },
  );

  it.each(["Mixtral", "DeepSeek-V3, stretched positions", "LongCat-Flash"])(
    "of %s routes layers with experts, and keeps the bias that lifts scores as it is",
    { tags: "long" },
    async (name) => {
      const folder = place(`mixture-${made++}`);
      const variant = { ...MIXTURES.find((v) => v.name === name)!, dtype: "BF16" as const, shards: 1 };
      writeFolder(folder, variant, 31, mixtureTensors);
      const out = `${folder}-mod`;
      await convertFolder(folder, out, { routing: ROUTING, seed: 5 });
      const inputs = { tokens: randomTokens([2, 13], 96, 3) };
      const [one, other] = [folder, out].map((f) => ({ f, ...compiled(checkpointSource(f).text) }));
      const logits = async ({ f, program, graph }: NonNullable<typeof one>) =>
        reference(graph, await weightsOf(program, f), { inputs }).outputs.get("logits")!.data;
      const { ratio, text } = furthest(await logits(other!), await logits(one!), 1e-12, 0);
      expect(ratio, text).toBeLessThan(1);
      for (const [key, { dtype }] of tensorsOf(out).tensors)
        expect(dtype, key).toBe(key.endsWith("e_score_correction_bias") ? "F32" : "BF16");
    },
  );

  it("generates what the dense one does", { tags: "long" }, async () => {
    const folder = dense("Qwen2, windows in the last layer");
    await convertFolder(folder, place("generating"), { routing: ROUTING, seed: 1 });
    const texts: number[][] = [];
    for (const from of [folder, place("generating")]) {
      const generator = await createGenerator(
        compileGeneration(checkpointSource(from).text).generation!,
        await testDevice(),
        from,
      );
      const text: number[] = [];
      for await (const { token } of generator.generate([[5, 9, 4]], { maxTokens: 24 })) text.push(token);
      texts.push(text);
      generator.dispose();
    }
    expect(texts[0]!.length).toBe(24);
    expect(texts[1]).toEqual(texts[0]);
  });

  it(
    "has the weights of the dense one bit for bit, in their type and under their keys, and new ones that follow " +
      "from the seed",
    async () => {
      const folder = dense("Llama");
      await convertFolder(folder, place("a"), { routing: ROUTING, seed: 5 });
      await convertFolder(folder, place("b"), { routing: ROUTING, seed: 6 });
      const [before, a, b] = [tensorsOf(folder), tensorsOf(place("a")), tensorsOf(place("b"))];
      for (const [key, { dtype }] of before.tensors) {
        expect(a.tensors.get(key)!.dtype, key).toBe(dtype);
        expect(Buffer.compare(await a.read(key), await before.read(key)), key).toBe(0);
      }
      const fresh = [...a.tensors.keys()].filter((key) => !before.tensors.has(key));
      expect(fresh).toEqual(
        ["router.weight", "guess.up.weight", "guess.up.bias", "guess.down.weight", "guess.down.bias"].map(
          (p) => `layers.1.${p}`,
        ),
      );
      const same = async (key: string): Promise<boolean> => Buffer.compare(await a.read(key), await b.read(key)) === 0;
      expect(await same("layers.1.guess.up.weight")).toBe(false);
      expect(await same("layers.1.router.weight")).toBe(true);
      expect((await a.read("layers.1.guess.up.weight")).some((byte) => byte !== 0)).toBe(true);
    },
  );

  it("brings the files of its text, and what config.json says of its end", async () => {
    const folder = dense("Qwen2");
    writeFileSync(join(folder, "tokenizer.json"), SENTENCE_PIECE);
    writeFileSync(join(folder, "chat_template.jinja"), "{{ messages[0].content }}");
    await convertFolder(folder, place("text"), { routing: ROUTING, seed: 0 });
    expect(readdirSync(place("text")).sort()).toEqual([
      "chat_template.jinja",
      "generation_config.json",
      "model.mod",
      "model.safetensors",
      "tokenizer.json",
    ]);
    expect((await (await openModel(place("text"))).texts()).defaults.ends).toEqual([2]);
    expect(readFileSync(join(place("text"), "tokenizer.json"), "utf8")).toBe(SENTENCE_PIECE);
  });

  it("is not written over another, nor half", async () => {
    const folder = dense("Qwen2");
    mkdirSync(place("full"));
    writeFileSync(join(place("full"), "x"), "");
    await expect(convertFolder(folder, place("full"), { routing: ROUTING, seed: 0 })).rejects.toThrow(
      /full exists already$/,
    );
    await expect(
      convertFolder(folder, place("none"), { routing: { every: 4, capacity: "50%" }, seed: 0 }),
    ).rejects.toThrow(/every is 4: .* has 3 layers/);
    writeFileSync(join(folder, "model.safetensors"), readFileSync(join(folder, "model.safetensors")).subarray(0, -1));
    const before = readdirSync(root);
    await expect(convertFolder(folder, place("torn"), { routing: ROUTING, seed: 0 })).rejects.toThrow("truncated");
    rmSync(join(folder, "model.safetensors"));
    await expect(convertFolder(folder, place("torn"), { routing: ROUTING, seed: 0 })).rejects.toThrow("has no weights");
    expect(readdirSync(root)).toEqual(before);
  });
});
