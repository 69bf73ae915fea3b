// Runs `modc quantize` in a user's way: refused numbers, and results of its folders.
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const at = (...names: readonly string[]): string => join(folder.path, ...names);
const CONFIG = JSON.stringify({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  vocab_size: 256,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
});

beforeAll(async () => {
  folder.folder("dense");
  folder.file("dense/config.json", CONFIG);
  expect(await run(["init", at("dense"), "-o", at("dense", "model.safetensors")])).toMatchObject({ status: 0 });
});

/** A copy of the checkpoint with one number in the place [3, 5] of a product's weight. */
function withOne(name: string, value: number): string {
  folder.folder(name);
  copyFileSync(at("dense", "config.json"), at(name, "config.json"));
  const bytes = readFileSync(at("dense", "model.safetensors"));
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + size)) as Record<string, { data_offsets: number[] }>;
  const start = 8 + size + header["model.layers.0.self_attn.q_proj.weight"]!.data_offsets[0]!;
  bytes.writeFloatLE(value, start + 4 * (3 * 32 + 5));
  writeFileSync(at(name, "model.safetensors"), bytes);
  return at(name);
}

describe("a number that the type does not hold is refused by the weight's name and place", () => {
  it.each([
    [9e6, "q8"],
    [9e6, "q4"],
    [NaN, "q8"],
    [-Infinity, "q4"],
  ])("%d as %s", { tags: "long" }, async (value, type) => {
    const checkpoint = withOne(`${value}`, value);
    const message = `.attn.q.weight[3, 5] is ${value}, which ${type} does not hold`;
    for (const words of [
      ["quantize", checkpoint, "--weights-as", type, "-o", at("never")],
      ["init", checkpoint, "--weights-as", type, "-o", at("never")],
      ["build", checkpoint, "--weights-as", type, "-o", at("never")],
      ["generate", checkpoint, "--weights-as", type, "--prompt", "a", "--max-tokens", "1"],
    ]) {
      const { status, stderr } = await run(words);
      expect([status, stderr], words[0]).toEqual([1, expect.stringContaining(message)]);
      expect(existsSync(at("never"))).toBe(false);
    }
  });

  it("in f16 too, where the number would become infinite", async () => {
    const checkpoint = withOne("half", 70000);
    for (const words of [
      ["init", checkpoint, "--weights-as", "f16", "-o", at("never")],
      ["build", checkpoint, "--weights-as", "f16", "-o", at("never")],
      ["generate", checkpoint, "--weights-as", "f16", "--prompt", "a", "--max-tokens", "1"],
    ])
      expect(await run(words)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining(".attn.q.weight[3, 5] is 70000, which f16 does not hold") as string,
      });
  });
});

describe("a quantized folder", () => {
  const note = (type: string): string => `note: weights keep the blocks of their file, as with --weights-as ${type}\n`;

  it.each(["q8", "q4"])("of %s computes from its blocks without an option", { tags: "long" }, async (type) => {
    expect(await run(["quantize", at("dense"), "--weights-as", type, "-o", at(type)])).toMatchObject({ status: 0 });
    const bytes = async (...words: readonly string[]): Promise<number> => {
      const { stdout, stderr } = await run(["cost", at(type), "--json", ...words]);
      expect(stderr).toBe(words.length === 0 ? note(type) : "");
      return (JSON.parse(stdout) as { memory: { weights: number } }).memory.weights;
    };
    const [own, told, whole] = [await bytes(), await bytes("--weights-as", type), await bytes("--weights-as", "f32")];
    expect([own, own < whole / 3]).toEqual([told, true]);
    const words = ["generate", at(type), "--prompt", "a", "--max-tokens", "4"];
    const plain = await run(words);
    expect(plain).toMatchObject({ status: 0, stderr: expect.stringContaining(note(type)) as string });
    expect((await run([...words, "--weights-as", type])).stdout).toBe(plain.stdout);
  });
});
