// Weights that are parts of a stored tensor: read, put together and saved as the same bytes.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { matchWeights, readWeight, writeSafetensors, type Words } from "../../../src/runtime/index.js";
import { openWeights, saveWeights } from "../../../src/runtime/node.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import type { WeightSource } from "../../../src/runtime/weights/formats/source.js";
import { toBytes } from "../../../src/runtime/weights/to-bytes.js";
import { random } from "../../random.js";
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

  it("lack an axis of size 1, as that of PyTorch's convolutions of channels", async () => {
    const model = weightsOf("weight conv: f32[3, 2]", '"conv" = "conv1d.weight"[:, 0]');
    const path = write("conv.safetensors", [counted("conv1d.weight", [3, 1, 2])]);
    const values = await loaded(model, path);
    expect([...values.get("conv")!]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await saved(model, values)).toEqual(readFileSync(path));
  });

  it.each(Array.from({ length: 60 }, (_, seed) => seed))(
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
});
