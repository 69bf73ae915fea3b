// Folders of PEFT's adapters compute the same as weights that PyTorch merges by PEFT's rule; others are refused.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openModel } from "../../src/models/open-node.js";
import { matchWeights, readSafetensors, readWeight } from "../../src/runtime/index.js";
import { toBytes } from "../../src/runtime/weights/to-bytes.js";
import { writeSafetensors } from "../../src/runtime/weights/formats/safetensors.js";
import { compiled, furthest, reference, type Weights } from "../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { random } from "../random.js";
import { run } from "../tools/cli/in-process.js";
import { temporaryFolder } from "../tools/cli/spawn.js";
import { VARIANTS, writeFolder } from "./families/folders.js";
import { weightsOf } from "./families/folder-weights.js";
import { commitOf, writeCached } from "./hub-cache.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
afterEach(() => vi.unstubAllEnvs());
const place = (name: string): string => join(temporary.path, name);
const base = place("base");

/** The Llama of the variants: 3 layers of width 64, with 4 heads of queries and 2 of keys. */
const LLAMA = { ...VARIANTS[0]!, dtype: "F32", shards: 1 } as const;
beforeAll(() => writeFolder(base, LLAMA, 3));

const OUT = { q_proj: 64, v_proj: 32 } as const;
type Target = keyof typeof OUT;
const moduleOf = (layer: number, target: string): string => `model.layers.${layer}.self_attn.${target}`;

/** What PEFT writes for such adapters. */
const CONFIG = {
  alpha_pattern: {},
  auto_mapping: null,
  base_model_name_or_path: base,
  bias: "none",
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 12,
  lora_dropout: 0.05,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null,
  peft_type: "LORA",
  r: 4,
  rank_pattern: {},
  revision: null,
  target_modules: ["v_proj", "q_proj"],
  task_type: "CAUSAL_LM",
  use_dora: false,
  use_rslora: false,
};

interface Adapters {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly ranks?: Readonly<Record<Target, number>>;
  readonly layers?: readonly number[];
  readonly more?: readonly { readonly key: string; readonly shape: readonly number[] }[];
  readonly without?: RegExp;
}

/** Writes a folder of random adapters. */
function writeAdapters(
  name: string,
  { config = {}, ranks = { q_proj: 4, v_proj: 4 }, layers = [0, 1, 2], more = [], without = /^$/ }: Adapters,
): string {
  const folder = temporary.folder(name);
  const rng = random(17);
  const entries = layers.flatMap((layer) =>
    (["q_proj", "v_proj"] as const).flatMap((target) => [
      { key: `base_model.model.${moduleOf(layer, target)}.lora_A.weight`, shape: [ranks[target], 64] },
      { key: `base_model.model.${moduleOf(layer, target)}.lora_B.weight`, shape: [OUT[target], ranks[target]] },
    ]),
  );
  const tensors = [...entries, ...more].flatMap(({ key, shape }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = toBytes(
      Float32Array.from({ length: count }, () => 0.2 * rng.normal()),
      "F32",
    );
    return without.test(key) ? [] : [{ key, dtype: "F32", shape, data }];
  });
  writeFileSync(join(folder, "adapter_model.safetensors"), writeSafetensors(tensors));
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...CONFIG, ...config }));
  return folder;
}

/** Logits of the reference, in 64 bits. */
function logitsOf(text: string, weights: (program: ReturnType<typeof compiled>["program"]) => Promise<Weights>) {
  const rng = random(5);
  const tokens = { shape: [2, 12], data: Uint32Array.from({ length: 24 }, () => rng.below(96)) };
  const { program, graph } = compiled(text);
  return weights(program).then((w) => reference(graph, w, { inputs: { tokens } }).outputs.get("logits")!.data);
}

async function adaptedLogits(folder: string) {
  const model = await openModel(folder);
  try {
    expect(model).toMatchObject({ kind: "adapter", path: folder });
    const source = await model.weights!.source();
    return await logitsOf(model.source.text, async (program) => {
      const matched = matchWeights(program, source);
      const filled = program.weights.map(async (w) => {
        const data = Float32Array.from(await readWeight(w, matched.get(w)!, source));
        return [w.path, { shape: w.shape, data }] as const;
      });
      return new Map(await Promise.all(filled));
    });
  } finally {
    await model.close();
  }
}

/** Logits of the base with the weights that PyTorch merges. */
async function mergedLogits(folder: string) {
  const [merged] = await askTorch<Readonly<Record<string, readonly number[]>>>(
    new URL("../tools/cli/adapt.py", import.meta.url),
    [{ base: join(base, "model.safetensors"), adapter: folder }],
  );
  const model = await openModel(base);
  const { text } = model.source;
  await model.close();
  return logitsOf(text, async (program) => {
    const own = await weightsOf(program, base);
    const weights = program.weights.map(({ path, keys, shape }) => {
      const sum = merged![keys[0]!];
      return [path, sum === undefined ? own.get(path)! : { shape, data: Float32Array.from(sum) }] as const;
    });
    return new Map(weights);
  });
}

describe.skipIf(!hasTorch)(`a folder of adapters computes what PyTorch's merged weights do${torchNote}`, () => {
  it.each<[string, Adapters]>([
    ["plain", {}],
    ["rslora", { config: { use_rslora: true } }],
    [
      "patterns",
      {
        config: { r: 8, rank_pattern: { q_proj: 2, v_proj: 3 }, alpha_pattern: { "self_attn.v_proj": 5.5 } },
        ranks: { q_proj: 2, v_proj: 3 },
      },
    ],
  ])("%s", { timeout: 120_000, tags: "long" }, async (name, adapters) => {
    const folder = writeAdapters(name, adapters);
    const [own, merged] = [await adaptedLogits(folder), await mergedLogits(folder)];
    // Both sum in 64 bits; the merged weights are rounded once to f32.
    const { ratio, text } = furthest(own, merged, 1e-5, 0);
    expect(ratio, text).toBeLessThan(1);
    const plain = await openModel(base);
    const alone = await logitsOf(plain.source.text, (program) => weightsOf(program, base));
    await plain.close();
    expect(furthest(own, alone, 1e-2, 0).ratio).toBeGreaterThan(1);
  });
});

describe("a folder of adapters", () => {
  it("is a model of the commands, and is exported as it was", { timeout: 120_000, tags: "long" }, async () => {
    const folder = writeAdapters("round", {});
    const tokens = ["--input", "tokens=[[5,6,7,8,9]]"];
    expect(await run(["run", folder, ...tokens, "--check"])).toMatchObject({ status: 0 });
    const written = place("written");
    expect(await run(["export", folder, "--to", "peft", "-o", written])).toMatchObject({ status: 0 });
    const [before, after] = [folder, written].map((path) =>
      readSafetensors(readFileSync(join(path, "adapter_model.safetensors"))),
    );
    expect([...after!.tensors.keys()].sort()).toEqual([...before!.tensors.keys()].sort());
    for (const key of before!.tensors.keys()) expect(await after!.read(key)).toEqual(await before!.read(key));
    expect(JSON.parse(readFileSync(join(written, "adapter_config.json"), "utf8"))).toMatchObject({
      base_model_name_or_path: base,
      r: 4,
      lora_alpha: 12,
      target_modules: ["q_proj", "v_proj"],
      use_rslora: false,
    });
    for (const command of ["import", "quantize", "convert"]) {
      const { status, stderr } = await run([command, folder, "-o", place("none")]);
      expect([status, stderr]).toEqual([
        1,
        expect.stringContaining("has adapters, and its model is in another folder"),
      ]);
    }
  });

  it("finds its base by name in the cache of Hugging Face", async () => {
    const cache = place("hub");
    mkdirSync(cache);
    vi.stubEnv("HF_HUB_CACHE", cache);
    writeCached(cache, base, { repository: "owner/base", revision: "main", commit: commitOf("base") });
    const folder = writeAdapters("named", { config: { base_model_name_or_path: "owner/base" } });
    const model = await openModel(folder);
    expect(model.source.text).toContain("LoRA(");
    expect((await model.weights!.source()).tensors.has("layers.0.inner.attn.q.lora.a")).toBe(true);
    await model.close();
  });

  it.each<[string, Adapters, string]>([
    ["dora", { config: { use_dora: true } }, "use_dora is true: modc does not read DoRA"],
    ["ia3", { config: { peft_type: "IA3" } }, 'peft_type is "IA3": modc reads LORA alone'],
    ["bias", { config: { bias: "all" } }, 'bias is "all"'],
    ["pissa", { config: { init_lora_weights: "pissa" } }, "it changes the weights of the base"],
    ["saved", { config: { modules_to_save: ["lm_head"] } }, 'modules_to_save is ["lm_head"]: modc does not know'],
    ["later", { config: { use_quantum: true } }, "use_quantum is true: modc does not know this field"],
    ["regex", { config: { rank_pattern: { "layers.[01].*q_proj": 2 } } }, "modc reads names of modules here"],
    ["no base", { config: { base_model_name_or_path: null } }, "has no base_model_name_or_path"],
    ["away", { config: { base_model_name_or_path: "/no/such/base" } }, "/no/such/base: there is no such folder"],
    ["uncached", { config: { base_model_name_or_path: "no-such/base" } }, "no-such/base is not in the cache"],
    ["another rank", { config: { r: 8 } }, "rank 4"],
    ["few layers", { layers: [0, 2] }, "with an adapter and layers.1.inner.attn.q without one"],
    [
      "two sizes",
      { config: { alpha_pattern: { "model.layers.1.self_attn.q_proj": 3 } } },
      "creates adapters of several sizes by one expression",
    ],
    ["half", { without: /layers\.1\.self_attn\.q_proj\.lora_B/ }, "only one half of the adapter"],
    ["magnitude", { more: [{ key: "base_model.model.lm_head.lora_magnitude_vector", shape: [96] }] }, "the tensor"],
    [
      "other module",
      {
        more: [
          { key: "base_model.model.model.layers.7.mlp.up_proj.lora_A.weight", shape: [4, 64] },
          { key: "base_model.model.model.layers.7.mlp.up_proj.lora_B.weight", shape: [112, 4] },
        ],
      },
      'an adapter of "model.layers.7.mlp.up_proj"',
    ],
  ])("is refused: %s", async (name, adapters, message) => {
    vi.stubEnv("HF_HUB_CACHE", place("no-hub"));
    const folder = writeAdapters(`refused ${name}`, adapters);
    const opened = async (): Promise<void> => {
      const model = await openModel(folder);
      try {
        expect(model.source.text).toBe("refused before");
      } finally {
        await model.close();
      }
    };
    await expect(opened()).rejects.toThrow(message);
  });
});
