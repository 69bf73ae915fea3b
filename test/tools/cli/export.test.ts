// Runs `modc export` in a user's way: written files, and refusals.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const model = folder.file(
  "small.mod",
  "model Small(n: int = 8) {\n  weight w: f32[n, n] = normal(0.5)\n" +
    "  forward(x: f32[B, T <= 4, n]) -> f32[B, T, n] { x @ w }\n}\n",
);
const output = join(folder.path, "torch");

describe("modc export --to torch", () => {
  it("writes the module, and with weights those under their own keys", async () => {
    const plain = await modc(["export", model, "--to", "torch", "-o", output, "--set", "n=4"]);
    expect([plain.status, plain.stderr]).toEqual([0, ""]);
    expect(plain.stdout).toMatch(
      /torch: Small in PyTorch, 10 files: model.py, modc_torch.py, modc_axes.py, modc_\w+.py, .*, README.md\n$/,
    );
    expect(readFileSync(join(output, "model.py"), "utf8")).toContain("class Small(nn.Module):");
    expect(existsSync(join(output, "model.safetensors"))).toBe(false);
    const weights = join(folder.path, "w.safetensors");
    expect((await modc(["init", model, "-o", weights])).status).toBe(0);
    const whole = await modc(["export", model, "--to", "torch", "--weights", weights, "-o", output, "--json"]);
    expect(JSON.parse(whole.stdout)).toMatchObject({ model: "Small", to: "torch", weights });
    expect(readFileSync(join(output, "model.safetensors"))).toEqual(readFileSync(weights));
  });

  it("is whole or none, leaves nothing of an earlier export, and takes no file of others", async () => {
    const whole = join(folder.path, "whole");
    const weights = join(folder.path, "of-others.safetensors");
    const larger = ["--set", "n=6"];
    expect((await modc(["init", model, "-o", weights])).status).toBe(0);
    const args = ["export", model, "--to", "torch", "-o", whole];
    const misfit = await modc([...args, ...larger, "--weights", weights]);
    expect([misfit.status, existsSync(whole)]).toEqual([1, false]);
    expect((await modc([...args, "--weights", weights])).status).toBe(0);
    expect((await modc([...args, ...larger])).status).toBe(0);
    expect(existsSync(join(whole, "model.safetensors"))).toBe(false);
    // What was changed since, or trained, is not lost.
    for (const name of ["model.py", "model.safetensors"]) {
      const changed = join(whole, name);
      writeFileSync(changed, "mine");
      const kept = await modc(args);
      expect([kept.status, readFileSync(changed, "utf8")]).toEqual([1, "mine"]);
      expect(kept.stderr).toMatch(
        name === "model.py" ? /: model\.py changed since modc wrote it/ : /has model\.safetensors, not written by modc/,
      );
      rmSync(changed);
    }
    mkdirSync(join(folder.path, "mine"));
    const mine = folder.file(join("mine", "train.py"), "print('mine')\n");
    const refused = await modc(["export", model, "--to", "torch", "-o", join(folder.path, "mine")]);
    expect([refused.status, readFileSync(mine, "utf8")]).toEqual([1, "print('mine')\n"]);
    expect(refused.stderr).toContain("mine has train.py, not written by modc");
    expect(readdirSync(join(folder.path, "mine"))).toEqual(["train.py"]);
  });

  it("refuses what has no form, and writes nothing", async () => {
    const source = "model M() { forward(x: f32[B, T]) -> f32[B, T] { x + f32(argmax(x, axis: 1))[:, None] } }\n";
    const other = join(folder.path, "other");
    const refused = await modc(["export", folder.file("place.mod", source), "--to", "torch", "-o", other]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("argmax along a sequence has no form in PyTorch yet: ");
    expect(refused.stderr).toContain("place.mod:1: model M() {");
    expect(existsSync(other)).toBe(false);
  });

  it.runIf(existsSync("/proc"))("refuses a folder that cannot be made", async () => {
    const { status, stderr } = await modc(["export", model, "--to", "torch", "-o", "/proc/modc/torch"]);
    expect(status).toBe(1);
    expect(stderr).toContain("/proc/modc/torch");
  });

  it("tells faults of the source, those of an objective too", async () => {
    const source =
      "model M() {\n  forward(x: f32[B, T]) -> f32[B, T] { x }\n" +
      "  objective(x: f32[B, T]) { loss l = mean(nothing) }\n}\n";
    const faulty = await modc(["export", folder.file("faulty.mod", source), "--to", "torch", "-o", output]);
    expect(faulty.status).toBe(1);
    expect(faulty.stderr).toContain("nothing");
    const lacking =
      "block Empty() {}\nmodel M() {\n  b: Empty()\n  forward(x: f32[B, T]) -> f32[B, T] { x }\n" +
      "  objective(x: f32[B, T]) { loss l = mean(b(x)) }\n}\n";
    const without = await modc(["export", folder.file("lacking.mod", lacking), "--to", "torch", "-o", output]);
    expect([without.status, without.stderr]).toEqual([1, expect.stringContaining("`Empty` has no `forward`")]);
  });
});

const LANGUAGE = `
model Bytes(vocab: int = 256, dim: int = 4) {
  weight table: f32[vocab, dim] = normal(1.0)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, vocab] { table[tokens] @ transpose(table) }
}
`;
const DENSE = `import { Embedding, Layer, Residual, RMSNorm } from "std"
model Dense(vocab: int = 300, dim: int = 8) {
  embed: Embedding(vocab, dim)
  layer: Residual(Layer(dim, 2))
  norm:  RMSNorm(dim)
  forward(tokens: u32[B, T <= 16]) -> f32[B, T, vocab] { norm(layer(embed(tokens))) @ transpose(embed.table) }
}
`;

describe("modc export --to hf", () => {
  const bytes = folder.file("bytes.mod", LANGUAGE);
  const weights = join(folder.path, "bytes.safetensors");
  const at = (name: string): string => join(folder.path, name);
  const json = (name: string, file: string): unknown => JSON.parse(readFileSync(join(at(name), file), "utf8"));

  it("writes code, weights by their paths, and for a model of bytes their tokenizer", async () => {
    expect((await modc(["init", bytes, "-o", weights])).status).toBe(0);
    const done = await modc(["export", bytes, "--to", "hf", "--weights", weights, "-o", at("bytes_hf")]);
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toMatch(/bytes_hf: Bytes for Hugging Face, with its code, 15 files: config\.json, /);
    expect(readFileSync(join(at("bytes_hf"), "model.safetensors"))).toEqual(readFileSync(weights));
    expect(json("bytes_hf", "config.json")).toMatchObject({ model_type: "modc_bytes", torch_dtype: "float32" });
    expect(json("bytes_hf", "tokenizer_config.json")).toMatchObject({ model_max_length: 16, padding_side: "left" });
    const again = await modc(["export", bytes, "--to", "hf", "-o", at("bytes_hf")]);
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining("bytes_hf exists already")]);
    const half = [
      "export",
      bytes,
      "--to",
      "hf",
      "--weights",
      weights,
      "--weights-as",
      "bf16",
      "-o",
      at("half"),
      "--json",
    ];
    expect(JSON.parse((await modc(half)).stdout)).toMatchObject({
      model: "Bytes",
      to: "hf",
      architecture: null,
      weights,
    });
    expect(json("half", "config.json")).toMatchObject({ torch_dtype: "bfloat16" });
    const none = ["export", bytes, "--to", "hf", "--weights-as", "bf16", "-o", at("none")];
    const unweighted = await modc(none);
    expect([unweighted.status, existsSync(at("none"))]).toEqual([2, false]);
    expect(unweighted.stderr).toContain("--weights-as has no effect without weights");
    const large = folder.file("large.mod", LANGUAGE.replace("normal(1.0)", "normal(100000.0)"));
    expect((await modc(["init", large, "-o", at("large.safetensors")])).status).toBe(0);
    const from = ["export", large, "--weights", at("large.safetensors"), "--weights-as", "f16"];
    for (const [to, place] of [
      ["hf", "large_hf"],
      ["onnx", "large.onnx"],
    ] as const) {
      const beyond = await modc([...from, "--to", to, "-o", at(place)]);
      expect([beyond.status, existsSync(at(place))], to).toEqual([1, false]);
      expect(beyond.stderr).toMatch(/table\[\d+, \d+\] is -?\d[\d.]*, which f16 does not hold/);
    }
    expect(statSync(join(at("half"), "model.safetensors")).size).toBeLessThan(3000); // 1,024 numbers of two bytes
  });

  it("writes a standard architecture, which opens as it was, and carries a tokenizer along", async () => {
    const dense = folder.file("dense.mod", DENSE);
    const own = at("dense.safetensors");
    expect((await modc(["init", dense, "-o", own])).status).toBe(0);
    mkdirSync(at("text"));
    const vocab = Object.fromEntries(["<s>", "</s>", "a", "b"].map((token, id) => [token, id]));
    const added = [0, 1].map((id) => ({ id, content: Object.keys(vocab)[id], special: true }));
    const tokenizer = folder.file(
      join("text", "tokenizer.json"),
      JSON.stringify({ version: "1.0", added_tokens: added, model: { type: "BPE", vocab, merges: [] } }),
    );
    folder.file(join("text", "tokenizer_config.json"), JSON.stringify({ bos_token: "<s>", eos_token: "</s>" }));
    folder.file(join("text", "special_tokens_map.json"), "{}");
    const args = ["export", dense, "--to", "hf", "--weights", own, "--tokenizer", tokenizer, "-o", at("dense_hf")];
    const done = await modc(args);
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toMatch(/dense_hf: Dense for Hugging Face, as LlamaForCausalLM, 6 files: config\.json, /);
    const tokens = { bos_token_id: 0, eos_token_id: 1 };
    const said = { ...tokens, pad_token_id: null }; // not transformers' defaults
    expect(json("dense_hf", "config.json")).toMatchObject({ model_type: "llama", vocab_size: 300, ...said });
    expect(json("dense_hf", "generation_config.json")).toEqual(tokens);
    expect(json("dense_hf", "tokenizer_config.json")).toMatchObject({ tokenizer_class: "PreTrainedTokenizerFast" });
    expect(existsSync(join(at("dense_hf"), "special_tokens_map.json"))).toBe(true);
    // Read back as a checkpoint of Hugging Face it gives the same.
    const run = (from: string, ...more: readonly string[]) =>
      modc(["run", from, ...more, "--input", "tokens=[[1, 2, 299, 4]]", "--json"]);
    const [was, is] = [await run(dense, "--weights", own), await run(at("dense_hf"))];
    expect([was.status, is.status]).toEqual([0, 0]);
    const valuesOf = (text: string): readonly number[] => {
      const { outputs } = JSON.parse(text) as { outputs: Record<string, { data: readonly number[] }> }; // of `run`
      return Object.values(outputs)[0]!.data;
    };
    const [before, after] = [valuesOf(was.stdout), valuesOf(is.stdout)];
    expect(before.length).toBe(4 * 300);
    expect(Math.max(...before.map((value, i) => Math.abs(value - after[i]!)))).toBeLessThan(1e-5);
  });

  it("carries a folder's defaults of generation along, but no cache of others and no code", async () => {
    mkdirSync(at("own"));
    folder.file(join("own", "model.mod"), LANGUAGE);
    const vocab = { "<s>": 0, a: 1 };
    folder.file(
      join("own", "tokenizer.json"),
      JSON.stringify({ version: "1.0", model: { type: "BPE", vocab, merges: [] } }),
    );
    folder.file(join("own", "tokenizer_config.json"), JSON.stringify({ auto_map: { AutoTokenizer: ["a.B", null] } }));
    folder.file(join("own", "generation_config.json"), '{"cache_implementation": "hybrid", "top_k": 5}');
    folder.file(join("own", "vocab.txt"), "<s>\na\n");
    const done = await modc(["export", at("own"), "--to", "hf", "-o", at("own_hf")]);
    expect(done.status).toBe(0);
    expect(done.stderr).toContain("note: generation_config.json was written without its cache_implementation");
    expect(done.stderr).toContain("warning: tokenizer_config.json names code in auto_map");
    expect(json("own_hf", "generation_config.json")).toEqual({ top_k: 5 });
    expect(existsSync(join(at("own_hf"), "vocab.txt"))).toBe(true);
  });

  it("says where there is no tokenizer, and refuses what is no language model", async () => {
    const other = folder.file("other.mod", LANGUAGE.replace("256", "300"));
    const without = await modc(["export", other, "--to", "hf", "-o", at("other_hf")]);
    expect([without.status, without.stderr]).toEqual([0, expect.stringContaining("note: the folder has no tokenizer")]);
    const refused = await modc(["export", model, "--to", "hf", "-o", at("none")]);
    expect([refused.status, existsSync(at("none"))]).toEqual([1, false]);
    expect(refused.stderr).toContain("Small, which does not take tokens alone, has no form as a model of Hugging Face");
    const misfit = ["export", other, "--to", "hf", "--weights", weights, "-o", at("none")];
    expect([(await modc(misfit)).status, existsSync(at("none"))]).toEqual([1, false]);
  });
});

describe("modc export --to onnx", () => {
  const weights = join(folder.path, "onnx.safetensors");
  const file = join(folder.path, "small.onnx");
  const exported = (...words: readonly string[]): ReturnType<typeof modc> =>
    modc(["export", model, "--to", "onnx", "-o", file, ...words]);

  it("writes one file, or two, and lists what it takes and gives", async () => {
    expect((await modc(["init", model, "-o", weights])).status).toBe(0);
    const plain = await exported("--weights", weights);
    expect([plain.status, plain.stderr]).toEqual([0, ""]);
    expect(plain.stdout).toMatch(/small\.onnx: Small in ONNX, 2 nodes, \d+ B; takes x, gives output\n$/);
    expect(readFileSync(file).includes(readFileSync(weights).subarray(-256))).toBe(true); // 8 × 8 floats
    const two = await exported("--weights", weights, "--external-data", "--weights-as", "f16", "--json");
    expect(JSON.parse(two.stdout)).toMatchObject({
      model: "Small",
      to: "onnx",
      files: [file, `${file}.data`],
      inputs: [{ name: "x", type: "f32", shape: ["B", "T", 8] }],
      outputs: [{ name: "output", type: "f32", shape: ["B", "T", 8] }],
      caches: [],
    });
    expect(statSync(`${file}.data`).size).toBe(128);
  });

  it("refuses what does not go together, and leaves nothing behind", async () => {
    const before = readdirSync(folder.path);
    const other = join(folder.path, "other.onnx");
    const refusals = [
      [["--to", "onnx"], 1, "an ONNX file contains the model's weights, which are missing"],
      [["--to", "onnx", "--weights", file], 1, "small.onnx is not a safetensors file"],
      [["--to", "onnx", "--weights", join(folder.path, "none")], 1, "there is no such file"],
      [["--to", "torch", "--caches"], 2, "--caches is for --to onnx"],
      [["--to", "torch", "--weights-as", "f16"], 2, "--weights-as is for --to onnx and --to hf"],
      [["--to", "torch", "--tokenizer", model], 2, "--tokenizer is for --to hf"],
      [
        ["--to", "onnx", "--weights", weights, "--caches", "--phase", "infer"],
        2,
        "--caches and --phase infer exclude each other",
      ],
      [["--to", "onnx", "--weights", weights, "--enter", "objective"], 1, "objective"],
      [["--to", "jax"], 2, "Allowed choices are torch, hf, peft, onnx"],
    ] as const;
    for (const [words, status, said] of refusals) {
      const refused = await modc(["export", model, ...words, "-o", other]);
      expect(refused.stderr).toContain(said);
      expect(refused.status, said).toBe(status);
    }
    const nowhere = await exported("--weights", weights, "-o", join(folder.path, "no", "x.onnx"));
    expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining("there is no folder")]);
    const over = await exported("--weights", weights, "-o", weights);
    expect([over.status, over.stderr]).toEqual([2, expect.stringContaining("which the command reads")]);
    expect(readdirSync(folder.path)).toEqual(before);
  });
});
