// Weights that are parts of a stored tensor: read, put together and saved as the same bytes.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  matchWeights,
  readWeight,
  type WeightsError,
  writeSafetensors,
  type Words,
} from "../../../src/runtime/index.js";
import { openWeights, saveTensors, saveWeights } from "../../../src/runtime/node.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import type { WeightSource } from "../../../src/runtime/weights/formats/source.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { readStored, storedEntry } from "../../../src/runtime/weights/parts.js";
import { locateWeights } from "../../../src/runtime/weights/weights.js";
import { wholeTensors } from "../../../src/runtime/weights/whole.js";
import { toBytes } from "../../../src/runtime/weights/to-bytes.js";
import { random } from "../../random.js";
import { smallGguf } from "../../models/gguf/small.js";
import { modelOf } from "../../language/check/harness.js";
import { divided, randomTensor, type Stored } from "./random-parts.js";

const folder = mkdtempSync(join(tmpdir(), "modc-parts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Weighted = Pick<Program, "weights" | "ignore">;

/** The weights of a model with these members and names. */
const weightsOf = (members: string, names: string, params = ""): Weighted =>
  modelOf(`model M(${params}) {
  ${members}
  names {
    ${names}
  }
  forward(x: f32[B, T]) -> f32[B, T] { x }
}`) as unknown as Weighted;

const write = (name: string, tensors: readonly Stored[]): string => {
  const path = join(folder, name);
  writeFileSync(
    path,
    writeSafetensors(
      tensors.map(({ key, dtype, shape, values }) => ({ key, dtype, shape, data: toBytes(values, dtype) })),
      new Map([["format", "pt"]]),
    ),
  );
  return path;
};

async function valuesIn(model: Weighted, source: WeightSource): Promise<ReadonlyMap<string, Words>> {
  const matched = matchWeights(model, source);
  const found = new Map<string, Words>();
  for (const weight of model.weights) found.set(weight.path, await readWeight(weight, matched.get(weight)!, source));
  return found;
}

async function loaded(model: Weighted, path: string): Promise<ReadonlyMap<string, Words>> {
  const source = await openWeights(path);
  try {
    return await valuesIn(model, source);
  } finally {
    await source.close();
  }
}

const saved = async (model: Weighted, values: ReadonlyMap<string, Words>, floats?: "F16" | "BF16"): Promise<Buffer> => {
  const path = join(folder, "saved.safetensors");
  await saveWeights(path, model, (weight: ProgramWeight) => values.get(weight.path)!, floats && { floats });
  return readFileSync(path);
};

/** Numbers from 0 on. */
const counted = (key: string, shape: readonly number[], dtype = "F32"): Stored => ({
  key,
  dtype,
  shape,
  values: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => i),
});

describe("weights that are parts of a stored tensor", () => {
  it("are GPT-2's: columns of a matrix, transposed", async () => {
    const model = weightsOf(
      "weight q: f32[dim, dim]\n  weight k: f32[dim, dim]\n  weight v: f32[dim, dim]\n  weight out: f32[dim, dim]",
      `"q" = "c_attn.weight"[:, 0:dim]^T
    "k" = "c_attn.weight"[:, dim:2 * dim]^T
    "v" = "c_attn.weight"[:, 2 * dim:]^T
    "out" = "c_proj.weight"^T`,
      "dim: int = 2",
    );
    const path = write("gpt2.safetensors", [counted("c_attn.weight", [2, 6]), counted("c_proj.weight", [2, 2])]);
    const values = await loaded(model, path);
    expect(Object.fromEntries([...values].map(([name, words]) => [name, [...words]]))).toEqual({
      q: [0, 6, 1, 7],
      k: [2, 8, 3, 9],
      v: [4, 10, 5, 11],
      out: [0, 2, 1, 3],
    });
    expect(await saved(model, values)).toEqual(readFileSync(path));
  });

  it("are stacks of experts, whose rows of two matrices alternate", async () => {
    const model = modelOf(`block Expert() {
  weight gate: f32[2, 3]
  weight up: f32[2, 3]
}
model M() {
  experts: [for e in 0..2: Expert()]
  names {
    "experts.{e}.gate" = "experts.gate_up"[{e}, 0::2]
    "experts.{e}.up" = "experts.gate_up"[{e}, 1::2]
  }
  forward(x: f32[B, T]) -> f32[B, T] { x }
}`) as unknown as Weighted;
    const path = write("experts.safetensors", [counted("experts.gate_up", [2, 4, 3])]);
    const values = await loaded(model, path);
    expect([...values.get("experts.0.gate")!]).toEqual([0, 1, 2, 6, 7, 8]);
    expect([...values.get("experts.1.up")!]).toEqual([15, 16, 17, 21, 22, 23]);
    expect(await saved(model, values)).toEqual(readFileSync(path));
  });

  it("are GPT-NeoX's: rows of the heads' queries, keys and values in turns", async () => {
    const model = weightsOf(
      "weight q: f32[4, 1]\n  weight k: f32[4, 1]\n  weight v: f32[4, 1]",
      `"q" = "query_key_value.weight"[0::3 * width:width]
    "k" = "query_key_value.weight"[width::3 * width:width]
    "v" = "query_key_value.weight"[2 * width::3 * width:width]`,
      "width: int = 2",
    );
    const path = write("neox.safetensors", [counted("query_key_value.weight", [12, 1])]);
    const values = await loaded(model, path);
    expect(Object.fromEntries([...values].map(([name, words]) => [name, [...words]]))).toEqual({
      q: [0, 1, 6, 7],
      k: [2, 3, 8, 9],
      v: [4, 5, 10, 11],
    });
    expect(await saved(model, values)).toEqual(readFileSync(path));
  });

  it("lack an axis of size 1, as that of PyTorch's convolutions of channels", async () => {
    const model = weightsOf("weight conv: f32[3, 2]", '"conv" = "conv1d.weight"[:, 0]');
    const path = write("conv.safetensors", [counted("conv1d.weight", [3, 1, 2])]);
    const values = await loaded(model, path);
    expect([...values.get("conv")!]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await saved(model, values)).toEqual(readFileSync(path));
  });

  it.each(Array.from({ length: 100 }, (_, seed) => seed))(
    "are divided in any way, as saved again: seed %i",
    async (seed) => {
      const rng = random(seed);
      const dtype = ["F32", "F16", "BF16"][rng.below(3)]!;
      const tensors = Array.from({ length: 1 + rng.below(3) }, (_, i) => randomTensor(rng, `stored.${i}`, dtype));
      const leaves = tensors.flatMap((tensor) => divided(rng, tensor).map((leaf) => ({ key: tensor.key, ...leaf })));
      const model = weightsOf(
        leaves.map(({ shape }, i) => `weight w${i}: f32[${shape.join(", ")}]`).join("\n  "),
        leaves.map(({ key, text }, i) => `"w${i}" = "${key}"${text}`).join("\n    "),
      );
      const path = write("random.safetensors", tensors);
      const values = await loaded(model, path);
      leaves.forEach((leaf, i) => expect(values.get(`w${i}`), `w${i}: ${leaf.text}`).toEqual(leaf.values));
      expect(await saved(model, values, dtype === "F32" ? undefined : (dtype as "F16" | "BF16"))).toEqual(
        readFileSync(path),
      );
    },
  );

  const QKV = weightsOf(
    "weight q: f32[2, 64]\n  weight k: f32[2, 64]\n  weight v: f32[2, 64]",
    '"q" = "qkv"[0:2]\n    "k" = "qkv"[2:4]\n    "v" = "qkv"[4:6]',
  );
  /** The same numbers by columns, transposed. */
  const COLUMNS = weightsOf(
    "weight q: f32[64, 2]\n  weight k: f32[64, 2]\n  weight v: f32[64, 2]",
    '"q" = "qkv"[:2]^T\n    "k" = "qkv"[2:4]^T\n    "v" = "qkv"[4:]^T',
  );

  it("are in shards, too, and in a stream that is read once", async () => {
    const stored = counted("qkv", [6, 64]);
    const path = write("one.safetensors", [stored]);
    const expected = await loaded(QKV, path);
    expect([...expected.get("k")!]).toEqual(Array.from({ length: 128 }, (_, i) => 128 + i));
    const shards = join(folder, "shards");
    mkdirSync(shards);
    copyFileSync(path, join(shards, "1.safetensors"));
    writeFileSync(
      join(shards, "model.safetensors.index.json"),
      JSON.stringify({ weight_map: { qkv: "1.safetensors" } }),
    );
    expect(await loaded(QKV, shards)).toEqual(expected);
    const located = await locateWeights(QKV, new Response(readFileSync(path)), 0);
    for (const weight of QKV.weights) expect(await located.values(weight)).toEqual(expected.get(weight.path));
    await located.close();
  });

  it("keep blocks that they do not divide, and are numbers of blocks that they do", async () => {
    const rng = random(3);
    const values = Float32Array.from({ length: 6 * 64 }, () => rng.normal());
    const bytes = toBytes(values, "Q8_0");
    const path = join(folder, "blocks.safetensors");
    await saveTensors(path, [{ key: "qkv", dtype: "Q8_0", shape: [6, 64], read: async () => bytes }]);
    const numbers = fromBytes(bytes, "Q8_0", "f32") as Float32Array;
    const source = await openWeights(path);
    const [, k] = QKV.weights;
    expect(storedEntry(source.tensors, k!.keys[0]!)).toEqual({ dtype: "Q8_0", shape: [2, 64], misfit: null });
    expect(await readStored(source, k!.keys[0]!)).toEqual(bytes.subarray(136, 272));
    expect((await valuesIn(QKV, source)).get("k")).toEqual(numbers.subarray(128, 256));
    const columns = (await valuesIn(COLUMNS, source)).get("k")!;
    expect([...columns]).toEqual(Array.from({ length: 128 }, (_, i) => numbers[128 + (i % 2) * 64 + (i >> 1)]));
    await source.close();
  });

  it("are of GGUF files, whose rows of heads are put in order and whose blocks are converted", async () => {
    const path = join(folder, "small.gguf");
    writeFileSync(path, smallGguf(5));
    const source = await openWeights(path);
    const types = new Set<string>();
    for (const [key, { dtype, shape }] of source.tensors) {
      const [rows, columns] = shape;
      if (rows === undefined || columns === undefined || rows < 4) continue;
      const whole = fromBytes(await source.read(key), dtype, "f32") as Float32Array;
      for (const [stated, cut] of [
        [`${key}[1:${rows - 1}/${rows}, 0:${columns}/${columns}]`, (r: number, c: number) => [r + 1, c]],
        [`${key}[0:3/${rows}, 3:4/${columns}]`, (r: number, c: number) => [r, c + 3]],
        [`${key}[0:2/${rows}, 0:${columns}/${columns}]^T`, (r: number, c: number) => [c, r]],
      ] as const) {
        const entry = storedEntry(source.tensors, stated)!;
        types.add(`${dtype} as ${entry.dtype}`);
        const values = fromBytes(await readStored(source, stated), entry.dtype, "f32") as Float32Array;
        const [, width] = entry.shape;
        const expected = Float32Array.from(values, (_, i) => {
          const [r, c] = cut(Math.floor(i / width!), i % width!);
          return whole[r! * columns + c!]!;
        });
        expect(values, stated).toEqual(expected);
      }
    }
    expect([...types]).toEqual(["F32 as F32"]);
    await source.close();
  });

  it("are saved in blocks under their own paths if the stored tensor would have to divide blocks", async () => {
    const names = async (model: Weighted, paths: readonly string[]): Promise<unknown> => {
      const path = join(folder, "quantized.safetensors");
      await saveWeights(path, model, ({ shape }) => new Float32Array(shape[0]! * shape[1]!), {
        quantized: { type: "Q8_0", paths: new Set(paths) },
      });
      const source = await openWeights(path);
      await valuesIn(model, source);
      await source.close();
      return [...source.tensors].map(([key, { dtype, shape }]) => `${key} ${dtype} ${shape.join()}`);
    };
    expect(await names(QKV, ["q", "k", "v"])).toEqual(["qkv Q8_0 6,64"]);
    expect(await names(QKV, ["q", "v"])).toEqual(["q Q8_0 2,64", "k F32 2,64", "v Q8_0 2,64"]);
    const tall = weightsOf(
      "weight a: f32[2, 64]\n  weight b: f32[2, 64]",
      '"a" = "x"[:, :2]^T\n    "b" = "x"[:, 2:]^T',
    );
    expect(await names(tall, ["a", "b"])).toEqual(["a Q8_0 2,64", "b Q8_0 2,64"]);
    expect(await names(tall, [])).toEqual(["x F32 64,4"]);
  });

  it(
    "are read by ranges: only their own bytes where these lie together, else few reads",
    { tags: "long" },
    async () => {
      const [experts, rows, columns] = [4, 3000, 1000];
      const whole = Float32Array.from({ length: experts * rows * columns }, (_, i) => i % 65521);
      const bytes = new Uint8Array(whole.buffer);
      const reads: number[] = [];
      const source: WeightSource = {
        name: "counted",
        tensors: new Map([["x", { dtype: "F32", shape: [experts, rows, columns], bytes: bytes.length }]]),
        read: () => Promise.reject(new Error("the whole tensor is not read")),
        readBytes: async (_, start, count) => {
          reads.push(count);
          return bytes.slice(start, start + count);
        },
        close: async () => {},
      };
      const part = async (text: string): Promise<Float32Array> => {
        reads.length = 0;
        return new Float32Array((await readStored(source, text)).slice().buffer);
      };
      const size = [rows * columns * 4, columns * 4] as const;
      const expert = await part(`x[1/${experts}, 0:${rows}/${rows}, 0:${columns}/${columns}]`);
      expect(reads).toEqual([size[0]]);
      expect(expert.every((value, i) => value === whole[rows * columns + i])).toBe(true);
      // Every second row of all experts, 48 MB.
      const alternate = await part(`x[0:4/4, 1:${rows}:2/${rows}, 0:${columns}/${columns}]`);
      expect(reads.length).toBeLessThan(8);
      expect(Math.max(...reads)).toBeLessThanOrEqual(2 ** 24);
      expect(
        alternate.every((value, i) => {
          const row = Math.floor(i / columns);
          const at = Math.floor(row / 1500) * rows + 2 * (row % 1500) + 1;
          return value === whole[at * columns + (i % columns)];
        }),
      ).toBe(true);
      // Some columns: the bytes between are few.
      const some = await part(`x[0:4/4, 0:${rows}/${rows}, 10:30:10/${columns}]`);
      expect(reads.length).toBeLessThan(8);
      expect(some.every((value, i) => value === whole[(i >> 1) * columns + 10 + 10 * (i & 1)])).toBe(true);
      // One row of each expert: the bytes between are many.
      await part(`x[0:4/4, 7:8/${rows}, 0:${columns}/${columns}]`);
      expect(reads).toEqual([size[1], size[1], size[1], size[1]]);
    },
  );

  it("are refused with one message if the stored tensor has other sizes, or is missing", async () => {
    const fault = (tensors: readonly Stored[]): Promise<string> =>
      loaded(QKV, write("other.safetensors", tensors)).then(
        () => "",
        (error: unknown) => (error as WeightsError).message,
      );
    for (const shape of [[6, 63], [5, 64], [6, 64, 1], [384]])
      expect(await fault([counted("qkv", shape)])).toBe(
        `other.safetensors does not fit the model:\n  wrong shape: "qkv" is [${shape.join(", ")}], the model has [6, 64]`,
      );
    expect(await fault([{ ...counted("qkv", [6, 64]), dtype: "I32" }])).toMatch(/wrong type: "qkv"\[0:2, :\] is I32/);
    expect(await fault([])).toMatch(/missing: "qkv"\[0:2, :\], f32\[2, 64\]\n.*"qkv"\[2:4, :\].*\n.*"qkv"\[4:6, :\]/);
    expect(await fault([counted("qkv", [6, 64]), counted("q", [2, 64])])).toMatch(/unexpected: "q"/);
  });

  it("are not saved if a part of the tensor is missing", async () => {
    const { weights } = QKV;
    const path = join(folder, "partial.safetensors");
    await expect(saveWeights(path, { weights: weights.slice(1) }, () => new Float32Array(128))).rejects.toThrow(
      '"qkv", [6, 64], cannot be saved: of it there is only [2:4, :], [4:6, :]',
    );
  });

  it("replace their numbers of a whole tensor, in F32 if their type is another", async () => {
    const one = new Uint8Array(new Float32Array(128).fill(1).buffer);
    const whole = counted("qkv", [6, 64], "BF16");
    const [tensor, ...others] = wholeTensors([
      { ...whole, read: async () => toBytes(whole.values, "BF16") },
      { key: QKV.weights[1]!.keys[0]!, dtype: "F32", shape: [2, 64], read: async () => one },
    ]);
    expect(others).toEqual([]);
    expect(tensor).toMatchObject({ key: "qkv", dtype: "F32", shape: [6, 64] });
    const values = new Float32Array((await tensor!.read()).slice().buffer);
    expect([values[127], values[128], values[255], values[256]]).toEqual([127, 1, 1, 256]);
  });
});
