// A path that is not a model of modc: the error names the kind of file, and a remedy.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const binary = Buffer.from([8, 7, 0, 255, 254, 0, 1, 2]);

describe("a path that is not a model of modc", () => {
  it.each([
    ["m.onnx", "is an ONNX file", "modc writes such files but does not read them"],
    ["m.pt", "is a file of PyTorch", 'torch.load("m.pt", weights_only=True)'],
    ["pytorch_model.bin", "is a file of PyTorch", "safetensors.torch.save_file"],
    ["m.parquet", "is a binary file", "give a .mod file, a checkpoint's folder"],
  ])("%s %s", async (name, what, hint) => {
    const { status, stdout, stderr } = await run(["generate", folder.file(name, binary), "--prompt", "a"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`${name} ${what}`);
    expect(stderr).toContain(hint);
    expect(stderr).not.toContain("UTF-8");
  });

  it.each(["generate", "check", "import", "quantize", "convert"])("a name of the hub, for %s", async (command) => {
    const more = { generate: ["--prompt", "a"], quantize: ["-o", "x"], convert: ["-o", "x"] }[command] ?? [];
    const { status, stderr } = await run([command, "no-such-owner/SmolLM2-135M", ...more]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining("hf download no-such-owner/SmolLM2-135M --local-dir SmolLM2-135M"),
    ]);
  });

  it.each([
    ["no file", null, "give a .mod file, a checkpoint's folder as Hugging Face stores it, or a GGUF file"],
    ["weights alone", "model.safetensors", "download the model's config.json to the same folder"],
    ["weights of PyTorch alone", "pytorch_model.bin", "download the model's config.json"],
    ["an adapter", "adapter_config.json", "adapter_config.json is not UTF-8 text"],
    ["a GGUF file", "small.gguf", "name the file: "],
    ["a source", "moby.mod", "name the file: "],
  ])("a folder with %s", async (name, file, hint) => {
    const place = folder.folder(name);
    if (file !== null) writeFileSync(join(place, file), binary);
    const { status, stderr } = await run(["check", place]);
    expect([status, stderr]).toEqual([1, expect.stringContaining(hint)]);
    if (hint.endsWith("file: ")) expect(stderr).toContain(`name the file: ${join(place, file!)}`);
  });

  it("a folder whose weights are in a file of PyTorch", async () => {
    const place = folder.folder("torch");
    const config = { architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_size: 8, intermediate_size: 16 };
    const rest = { num_hidden_layers: 1, num_attention_heads: 2, vocab_size: 256, max_position_embeddings: 16 };
    writeFileSync(join(place, "config.json"), JSON.stringify({ ...config, ...rest, rms_norm_eps: 1e-5 }));
    writeFileSync(join(place, "pytorch_model.bin"), binary);
    const { status, stderr } = await run(["generate", place, "--prompt", "a"]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('torch.load("pytorch_model.bin", weights_only=True)'),
    ]);
  });
});
