// A model whose weights are parts of stored tensors, beside the same model with whole tensors: every command reads and
// writes the same numbers.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../../../src/runtime/index.js";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (...names: readonly string[]): string => join(temporary.path, ...names);

for (const kind of ["parts", "whole"]) mkdirSync(place(kind));

const source = (names: string): string => `import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

model Small(dim: int = 32, heads: int = 2, depth: int = 2) {
  embed:  Embedding(256, dim)
  layers: [for i in 0..depth: if i == 1 then MoD(Layer(dim, heads), dim, 50%) else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)
  ${names}
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;
const parts = temporary.file(
  "parts/small.mod",
  source(`names {
    "layers.{i}.inner.attn.q.weight"   = "h.{i}.c_attn.weight"[:, 0:dim]^T
    "layers.{i}.inner.attn.k.weight"   = "h.{i}.c_attn.weight"[:, dim:2 * dim]^T
    "layers.{i}.inner.attn.v.weight"   = "h.{i}.c_attn.weight"[:, 2 * dim:]^T
    "layers.{i}.inner.mlp.gate.weight" = "h.{i}.gate_up"[0::2]
    "layers.{i}.inner.mlp.up.weight"   = "h.{i}.gate_up"[1::2]
  }`),
);
const whole = temporary.file("whole/small.mod", source("\n\n\n\n\n\n"));
const weights = (kind: "parts" | "whole"): string => place(kind, "w.safetensors");
const text = temporary.file("text.txt", "the white whale\nthe grey whale\n".repeat(60));

async function fine(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(words);
  expect(status, stderr).toBe(0);
  return stdout;
}
/** Runs a command for both models, in which `@` stands for the folder of the model. */
async function both(...words: readonly string[]): Promise<readonly [string, string]> {
  const at = (kind: string): readonly string[] => words.map((word) => word.replace("@", place(kind)));
  return [await fine(...at("parts")), await fine(...at("whole"))];
}
const bytes = (...names: readonly string[]): readonly [Buffer, Buffer] => [
  readFileSync(place("parts", ...names)),
  readFileSync(place("whole", ...names)),
];
const shapesIn = (path: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...readSafetensors(readFileSync(path)).tensors].map(([key, t]) => [key, `${t.dtype} ${t.shape.join()}`]),
  );
const expectAlike = async (...names: readonly string[]): Promise<void> => {
  const [a, b] = bytes(...names);
  expect(a.equals(b), names.join("/")).toBe(true);
};

beforeAll(async () => {
  await fine("init", parts, "-o", weights("parts"), "--seed", "3");
  await fine("init", whole, "-o", weights("whole"), "--seed", "3");
});

describe("a model with parts of stored tensors", { tags: "long", timeout: 120_000 }, () => {
  it("begins with the same numbers, and saves the stored tensors", async () => {
    const shapes = shapesIn(weights("parts"));
    expect(shapes).toMatchObject({ "h.0.c_attn.weight": "F32 32,96", "h.1.gate_up": "F32 256,32" });
    expect(Object.keys(shapes)).not.toContain("layers.0.inner.attn.q.weight");
    const [stored, own] = [readSafetensors(bytes("w.safetensors")[0]), readSafetensors(bytes("w.safetensors")[1])];
    const floats = (b: Uint8Array): Float32Array => new Float32Array(new Uint8Array(b).buffer);
    const [c, k] = [
      floats(await stored.read("h.0.c_attn.weight")),
      floats(await own.read("layers.0.inner.attn.k.weight")),
    ];
    expect(k.every((value, i) => value === c[(i % 32) * 96 + 32 + Math.floor(i / 32)])).toBe(true);
  });

  it("generates the same text, from a file keyed by paths too", async () => {
    const words = ["--prompt", "the white", "-n", "12", "--temperature", "0"];
    const [a, b] = await both("generate", "@/small.mod", "--weights", "@/w.safetensors", ...words);
    expect(a).toBe(b);
    expect(await fine("generate", parts, "--weights", weights("whole"), ...words)).toBe(a);
  });

  it("is built, exported and written in blocks as the other is", async () => {
    await both("build", "@/small.mod", "--weights", "@/w.safetensors", "-o", "@/package");
    await expectAlike("package", "weights", "00000.bin");
    await both("export", "@/small.mod", "--weights", "@/w.safetensors", "--to", "torch", "-o", "@/torch");
    await expectAlike("torch", "model.safetensors");
    await expectAlike("torch", "model.py");
    await both("export", "@/small.mod", "--weights", "@/w.safetensors", "--to", "hf", "-o", "@/hf");
    await expectAlike("hf", "model.safetensors");
    await both("export", "@/small.mod", "--weights", "@/w.safetensors", "--to", "onnx", "-o", "@/small.onnx");
    await expectAlike("small.onnx");
    // Blocks of 32 columns cannot hold the columns of c_attn as rows.
    await both("init", "@/small.mod", "-o", "@/q8.safetensors", "--seed", "3", "--weights-as", "q8");
    await expectAlike("q8.safetensors");
  });

  it("trains some parts over the stored tensors, goes on, and merges", async () => {
    const few = ["--data", text, "--batch", "2", "--length", "16", "--validation", "0"];
    const only = ["--only", "layers.0.inner.attn.{q,v}.weight", "--save", "trained", "--steps", "3"];
    await both("train", "@/small.mod", "--weights", "@/w.safetensors", "-o", "@/run", ...only, ...few);
    expect(Object.values(shapesIn(place("parts", "run", "checkpoints", "step-00000003", "model.safetensors")))).toEqual(
      ["F32 32,32", "F32 32,32"],
    );
    await both("merge", "@/run", "-o", "@/merged.safetensors");
    expect(shapesIn(place("parts", "merged.safetensors"))).toEqual(shapesIn(weights("parts")));
    await both("export", "@/small.mod", "--weights", "@/merged.safetensors", "--to", "torch", "-o", "@/merged");
    await expectAlike("merged", "model.safetensors");
    await both("train", "@/run", "-o", "@/second", "--steps", "2", ...few);
    await both("export", "@/small.mod", "--weights", "@/second", "--to", "torch", "-o", "@/again");
    await expectAlike("again", "model.safetensors");
    expect(bytes("again", "model.safetensors")[0].equals(bytes("merged", "model.safetensors")[0])).toBe(false);
  });

  it("finds the parameters by the sizes of stored tensors", async () => {
    const { status, stderr } = await run([
      "generate",
      parts,
      "--weights",
      weights("parts"),
      "--set",
      "dim=64",
      "--prompt",
      "a",
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/"h\.0\.c_attn\.weight" is \[32, 96\], the model has \[64, 192\]/);
    expect(stderr).toMatch(/would fit with dim: 32/);
  });
});
