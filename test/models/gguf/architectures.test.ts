// GGUF files of further architectures, written by an account of llama.cpp's converter from folders with random weights:
// they have the folders' weights, and the logits of the accounts of their families in PyTorch.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openModel } from "../../../src/models/open-node.js";
import { openWeights } from "../../../src/runtime/node.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import type { WeightSource } from "../../../src/runtime/weights/formats/source.js";
import { expectClose } from "../../close.js";
import { compiled, reference } from "../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import { weightsOf } from "../families/folder-weights.js";
import { writeFolder, type Config } from "../families/folders.js";
import { MIXTURES, mixtureTensors } from "../families/mixture-folders.js";
import { hasPython, pythonNote, writeGguf } from "./python.js";
import type { Key } from "./vocabularies.js";

const ACCOUNTS = new URL("../families/accounts/", import.meta.url);
const SCRIPT = new URL("account.py", ACCOUNTS);
const [BATCH, TOKENS] = [2, 24];
/** Relative to the largest logit: settings, and weights that are stored with 1 added, are rounded to f32. */
const ROUNDED = 1e-6;
/** Of weights that are stored with 1 added. */
const STORED = 2 ** -22;

interface Case {
  /** The module of the accounts that has the configuration. If absent, `MIXTURES` has it. */
  readonly module?: string;
  /** The configuration's name. */
  readonly of: string;
  /** Changed fields of the configuration, where GGUF cannot say what it has. */
  readonly config?: Config;
  /** Keys of weights that the folder has in another form. */
  readonly otherwise?: RegExp;
  /** Further keys of the file. */
  readonly keys?: readonly Key[];
}

/** Keys of folders that are no weights. */
const MASKS = /attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/;

const CASES: Readonly<Record<string, Case>> = {
  gemma2: { module: "gemma", of: "Gemma 2", config: { query_pre_attn_scalar: 16 } },
  gemma3: {
    module: "gemma",
    of: "Gemma 3",
    config: { query_pre_attn_scalar: 16 },
    keys: [["gemma3.attention.sliding_window_pattern", "u32", 3]],
  },
  phi3: { module: "phi", of: "Phi-3" },
  qwen2moe: { of: "Qwen2-MoE", config: { mlp_only_layers: [] } },
  qwen3moe: {
    of: "Qwen3-MoE, every second layer",
    config: { decoder_sparse_step: 1, mlp_only_layers: [], norm_topk_prob: true },
  },
  olmo2: { module: "olmo", of: "OLMo 2" },
  "olmo2 with windows": { module: "olmo", of: "OLMo 3" },
  granite: { module: "granite", of: "Granite" },
  "command-r": { module: "cohere", of: "Cohere" },
  cohere2: {
    module: "cohere",
    of: "Cohere 2",
    config: { attention_bias: false },
    keys: [["cohere2.attention.sliding_window_pattern", "bool[]", [true, false, true]]],
  },
  gptneox: { module: "neox", of: "GPT-NeoX", config: { rotary_emb_base: 10000 }, otherwise: MASKS },
  "gptneox, serial": {
    module: "neox",
    of: "GPT-NeoX, serial",
    config: { rotary_emb_base: 10000 },
    otherwise: MASKS,
  },
  gpt2: { module: "gpt2", of: "GPT-2" },
  bloom: { module: "gpt2", of: "BLOOM" },
  "gpt-oss": { module: "stacks", of: "gpt-oss", config: { swiglu_limit: 7 }, otherwise: /mlp\.experts/ },
};

const root = mkdtempSync(join(tmpdir(), "modc-gguf-architectures-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The configuration of a case. */
function configOf({ module, of, config: changes }: Case): Config {
  const found =
    module === undefined
      ? MIXTURES.find(({ name }) => name === of)?.config
      : (JSON.parse(readFileSync(new URL(`${module}.json`, ACCOUNTS), "utf8")) as Record<string, Config>)[of];
  expect(found, of).toBeDefined();
  return { ...found, ...changes };
}

/** Expects the weights of a file to be those of the folder. */
async function expectWeights(file: string, folder: string, otherwise = /^$/): Promise<void> {
  const [stored, found] = [await openWeights(folder), await openWeights(file)];
  const keysOf = ({ tensors }: WeightSource): readonly string[] =>
    [...tensors.keys()].filter((key) => !otherwise.test(key)).sort();
  expect(keysOf(found)).toEqual(keysOf(stored));
  for (const key of keysOf(stored)) {
    const [{ shape, dtype }, own] = [stored.tensors.get(key)!, found.tensors.get(key)!];
    expect(own.shape, key).toEqual(shape);
    const [bytes, given] = [await found.read(key), await stored.read(key)];
    const values = fromBytes(bytes, own.dtype, "f32") as Float32Array; // floats convert
    expectClose(values, fromBytes(given, dtype, "f32") as Float32Array, () => STORED, key);
    const half = bytes.length / 2;
    expect(Buffer.from(await found.readBytes!(key, half, half)).equals(Buffer.from(bytes.subarray(half))), key).toBe(
      true,
    );
  }
  await stored.close();
  await found.close();
}

/** The logits of a model in 64 bits. */
async function logitsOf(path: string, tokens: readonly (readonly number[])[]): Promise<ArrayLike<number>> {
  const model = await openModel(path);
  const { program, graph } = compiled(model.source.text, { file: model.source.file });
  await model.close();
  const inputs = { tokens: { shape: [tokens.length, tokens[0]!.length], data: Uint32Array.from(tokens.flat()) } };
  return reference(graph, await weightsOf(program, path), { inputs }).outputs.get("logits")!.data;
}

interface Answer {
  readonly logits: readonly number[];
}

describe.skipIf(!hasTorch || !hasPython)(
  `a GGUF file${hasPython ? torchNote : pythonNote}`,
  { timeout: 240_000 },
  () => {
    it.each(Object.entries(CASES).map(([name, one], i) => ({ name, one, i })))(
      "of $name has the weights of its folder, and its logits",
      { tags: "long" },
      async ({ one, i }) => {
        const config = configOf(one);
        const rng = random(90 + i);
        const rows = (): number[][] =>
          Array.from({ length: BATCH }, () =>
            Array.from({ length: TOKENS }, () => rng.below(config["vocab_size"] as number)),
          );
        const { module = null } = one;
        const [folder, output] = [join(root, `${i}`), join(root, `${i}.gguf`)];
        const tokens = rows();
        const account = { module, config, folder, gradients: join(root, `${i}-gradients`), seed: i + 1 };
        if (module === null)
          writeFolder(folder, { name: one.of, config, dtype: "F32", shards: 1 }, 60 + i, mixtureTensors);
        // Folders of mixtures are held against PyTorch elsewhere.
        const expected =
          module === null
            ? await logitsOf(folder, tokens)
            : (await askTorch<Answer>(SCRIPT, [{ ...account, tokens, targets: rows() }]))[0]!.logits;
        await writeGguf([{ folder, output, type: "F32", keys: one.keys ?? [] }]);
        await expectWeights(output, folder, one.otherwise);
        const most = Array.from(expected).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
        expectClose(await logitsOf(output, tokens), expected, () => ROUNDED * most, "logits");
      },
    );
  },
);
