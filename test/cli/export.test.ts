// `modc export` as a user calls it: what it writes, and what it refuses.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
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
      /torch: Small in PyTorch, 5 files: model.py, modc_torch.py, modc_caches.py, modc_files.py, README.md\n$/,
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
    mkdirSync(join(folder.path, "mine"));
    const mine = folder.file(join("mine", "train.py"), "print('mine')\n");
    const refused = await modc(["export", model, "--to", "torch", "-o", join(folder.path, "mine")]);
    expect([refused.status, readFileSync(mine, "utf8")]).toEqual([1, "print('mine')\n"]);
    expect(refused.stderr).toContain("mine has a train.py that no export wrote");
  });

  it("refuses what has no form, and writes nothing", async () => {
    const source = "model M() { forward(x: f32[B, T]) -> f32[B, T] { x + random_normal(like: x) } }\n";
    const other = join(folder.path, "other");
    const refused = await modc(["export", folder.file("random.mod", source), "--to", "torch", "-o", other]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("the operation random_normal has no form in PyTorch yet");
    expect(existsSync(other)).toBe(false);
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
      [["--to", "onnx"], 1, "a file of ONNX holds the model's weights, and there are none"],
      [["--to", "onnx", "--weights", file], 1, "small.onnx is no safetensors file"],
      [["--to", "onnx", "--weights", join(folder.path, "none")], 1, "there is no such file"],
      [["--to", "torch", "--caches"], 2, "--caches is for --to onnx"],
      [["--to", "torch", "--weights-as", "f16"], 2, "--weights-as is for --to onnx"],
      [["--to", "onnx", "--weights", weights, "--caches", "--phase", "infer"], 2, "do not go together"],
      [["--to", "onnx", "--weights", weights, "--enter", "objective"], 1, "objective"],
      [["--to", "jax"], 2, "Allowed choices are torch, onnx"],
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
