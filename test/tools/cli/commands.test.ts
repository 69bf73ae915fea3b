// The commands that run nothing: every command's output, in text and in JSON.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { parseProgram } from "../../../src/runtime/program/serialize.js";
import { readSafetensors } from "../../../src/runtime/index.js";
import { modc, root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

/** Standard output of a command that is fine. */
async function fine(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await modc(args);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}
const json = async (...args: readonly string[]): Promise<unknown> => JSON.parse(await fine(...args, "--json"));

describe("check", () => {
  it("checks infer, and train where there is an objective", async () => {
    expect(await fine("check", "examples/moby.mod")).toBe(
      "examples/moby.mod: Moby (infer), Moby (train): no errors, no warnings\n",
    );
    expect(await fine("check", "examples/golden.mod")).toBe(
      "examples/golden.mod: Golden (infer): no errors, no warnings\n",
    );
  });

  it("every example is without errors and warnings", async () => {
    const examples = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".mod"));
    expect(examples.length).toBeGreaterThan(7);
    for (const name of examples)
      expect(await json("check", `examples/${name}`), name).toMatchObject({ errors: 0, warnings: 0 });
  });

  it("a file without a model is a library; several models are all checked", async () => {
    expect(
      await fine("check", folder.file("library.mod", "block Id() { forward(x: f32[B, T]) -> f32[B, T] { x } }\n")),
    ).toContain("a library without a model: no errors");
    const two = folder.file(
      "two.mod",
      ["A", "B"].map((name) => `model ${name}() { forward(x: f32[S, T]) -> f32[S, T] { x } }\n`).join(""),
    );
    expect(await fine("check", two)).toContain("A (infer), B (infer): no errors");
    expect(await fine("check", two, "--model", "B")).toContain("two.mod: B (infer): no errors");
  });

  it("JSON holds lines and columns, and nothing else is on standard output", async () => {
    const file = folder.file("broken.mod", "model M() {\n  forward(x: f32[B, T]) -> f32[B, T] { y }\n}\n");
    const { status, stdout, stderr } = await modc(["check", file, "--json"]);
    expect([status, stderr]).toEqual([1, ""]);
    expect(JSON.parse(stdout)).toMatchObject({
      errors: 1,
      diagnostics: [
        { code: "unknown-name", span: { file, from: { line: 2, column: 40 }, to: { line: 2, column: 41 } } },
      ],
    });
  });

  it("parameters of a model may have any name", async () => {
    const file = folder.file(
      "proto.mod",
      "model M(__proto__: int = 1, constructor: int = 2) { forward(x: f32[B, __proto__]) -> f32[B, 3] { x } }\n",
    );
    expect(await fine("check", file, "--set", "__proto__=3")).toContain("no errors");
  });
});

describe("fmt", () => {
  it("writes the canonical form once; --check says what would change", async () => {
    const file = folder.file("ugly.mod", "model M( ){forward(x:f32[B,T])->f32[B,T]{x   +1}}");
    expect((await modc(["fmt", "--check", file])).status).toBe(1);
    expect(readFileSync(file, "utf8")).toContain("M( )");
    await fine("fmt", file);
    expect(await fine("fmt", "--check", file)).toBe("");
    expect(await fine("fmt", "--stdout", file)).toBe(readFileSync(file, "utf8"));
    expect(JSON.parse(await fine("fmt", "--stdout", "--json", file))).toEqual({
      changed: [],
      broken: [],
      diagnostics: [],
      texts: [{ file, text: readFileSync(file, "utf8") }],
    });
  });

  it("leaves a file with syntax errors alone", async () => {
    const file = folder.file("wrong.mod", "model M( { }");
    const { status, stderr } = await modc(["fmt", file]);
    expect([status, readFileSync(file, "utf8")]).toEqual([1, "model M( { }"]);
    expect(stderr).toContain("error[");
  });
});

describe("ir", () => {
  it("parses back, after any pass", async () => {
    for (const after of ["lower", "simplify", "cse", "skip-branch", "fuse-routing", "merge-products", "tidy"]) {
      const graph = parseGraph(
        await fine("ir", "examples/moby.mod", "--set", "depth=2", "--after", after, "--verify"),
        ops,
      );
      expect(graph.name).toBe("Moby");
    }
  });

  it("tells what each kernel computes, reads and writes, after fuse", async () => {
    const text = await fine("ir", "examples/golden.mod", "--after", "fuse");
    expect(text).toMatch(/^graph "Golden"$/m);
    expect(text).toMatch(/^kernel %\d+ = top\(.*\)\n  reads .*\n  writes %\d+\.0/m);
  });

  it("shows places by line and column, or by offsets that read back; --trace names the rules that fired", async () => {
    expect(await fine("ir", "examples/golden.mod")).toMatch(/ = top .*\/\/ \. examples\/golden\.mod:17:14$/m);
    expect(await fine("ir", "examples/moby.mod")).toMatch(/\/\/ layers\.1\S* std\/\w+\.mod:\d+:\d+$/m);
    const text = await fine("ir", "examples/golden.mod", "--offsets");
    expect(text).toMatch(/ = top .*\/\/ \. examples\/golden\.mod@\d+-\d+$/m);
    expect(printGraph(parseGraph(text, ops))).toBe(text);
    const { stderr } = await modc(["ir", "examples/moby.mod", "--trace"]);
    expect(stderr).toMatch(/^simplify: \S+: \w+/m);
  });
});

describe("wgsl and compile", () => {
  it("lists kernels, prints one, and names them where there is none of that name", async () => {
    const names = (await fine("wgsl", "examples/golden.mod"))
      .split("\n")
      .slice(1)
      .flatMap((line) => /^\S+/.exec(line) ?? []);
    const top = names.find((name) => name.startsWith("top"))!;
    expect(await fine("wgsl", "examples/golden.mod", top)).toMatch(/@compute[\s\S]*fn main/);
    const { status, stderr } = await modc(["wgsl", "examples/golden.mod", "nothing"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining(top)]);
  });

  it("the program goes to a file or to standard output, the same bytes", async () => {
    const file = join(folder.path, "golden.json");
    expect(await json("compile", "examples/golden.mod", "-o", file)).toMatchObject({
      model: "Golden",
      phase: "infer",
      entry: "forward",
    });
    const text = readFileSync(file, "utf8");
    expect(await fine("compile", "examples/golden.mod")).toBe(text);
    expect(parseProgram(text).model).toBe("Golden");
  });
});

describe("init", () => {
  it("writes a model's own keys, or paths, in the type asked for", async () => {
    const sizes = ["--set", "depth=1", "--set", "vocab=64", "--set", "dim=36"];
    const file = join(folder.path, "w.safetensors");
    expect(await json("init", "examples/llama.mod", ...sizes, "-o", file, "--weights-as", "bf16")).toMatchObject({
      model: "Llama",
      seed: 0,
      weights: 11,
    });
    const keys = readSafetensors(readFileSync(file)).tensors;
    expect(keys.get("model.layers.0.self_attn.q_proj.weight")).toMatchObject({ dtype: "BF16", shape: [36, 36] });
    await fine("init", "examples/llama.mod", ...sizes, "-o", file, "--paths");
    expect(readSafetensors(readFileSync(file)).tensors.get("layers.0.attn.q.weight")).toMatchObject({ dtype: "F32" });
  });

  it("stores the weights of a checkpoint otherwise, and refuses one of another model", async () => {
    const [before, after] = [join(folder.path, "before.safetensors"), join(folder.path, "after.safetensors")];
    await fine("init", "examples/golden.mod", "-o", before, "--seed", "3");
    expect(
      await json("init", "examples/golden.mod", "-o", after, "--weights", before, "--weights-as", "f32"),
    ).toMatchObject({ model: "Golden", from: before });
    expect(readFileSync(after)).toEqual(readFileSync(before));
    await fine("init", "examples/golden.mod", "-o", after, "--weights", before, "--weights-as", "f16");
    for (const { dtype } of readSafetensors(readFileSync(after)).tensors.values()) expect(dtype).toBe("F16");
    const { status, stderr } = await modc(["init", "examples/moby.mod", "-o", after, "--weights", before]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("embed.table")]);
    expect((await modc(["init", "examples/golden.mod", "-o", after, "--weights", before, "--seed", "1"])).status).toBe(
      2,
    );
  });

  it("takes the weights of a folder that holds some; with a seed, or of one that holds none, starting values", async () => {
    const [before, after] = [join(folder.path, "trained.safetensors"), join(folder.path, "of-folder.safetensors")];
    await fine("init", "examples/golden.mod", "-o", before);
    const trained = readFileSync(before);
    trained[trained.length - 2]! ^= 1;
    writeFileSync(before, trained);
    const own = folder.folder("golden");
    copyFileSync(join(root, "examples", "golden.mod"), join(own, "model.mod"));
    expect(await json("init", own, "-o", after)).toMatchObject({ seed: 0 });
    copyFileSync(before, join(own, "model.safetensors"));
    expect(await json("init", own, "-o", after)).toMatchObject({ from: own });
    expect(readFileSync(after)).toEqual(trained);
    expect(await json("init", own, "-o", after, "--seed", "4")).toMatchObject({ seed: 4 });
    expect(readFileSync(after)).not.toEqual(trained);
  });
});

describe("cost", () => {
  it("says where weights are stored otherwise than its table counts", async () => {
    const heading = async (...more: readonly string[]): Promise<string> =>
      (await modc(["cost", "examples/moby.mod", "--length", "16", ...more])).stdout.split("\n", 1)[0]!;
    expect(await heading()).toMatch(/, 4 bytes a value$/);
    expect(await heading("--weights-as", "q4")).toMatch(
      /, 4 bytes a value; weights are q4 in the memory of a session alone$/,
    );
    expect(await heading("--weights-as", "f16", "--activations-as", "f16")).toMatch(/, 2 bytes a value$/);
  });

  it("prints the published number of steps", { tags: "long" }, async () => {
    const args = [
      "cost",
      "examples/mor.mod",
      "--set",
      "layers=8",
      "--set",
      "recursions=4",
      "--length",
      "2048",
      "--convention",
      "mor",
      "--budget",
      "16.5e18",
      "--step-tokens",
      "2097152",
    ];
    expect(await fine(...args)).toContain("14,216 steps within the budget (14215.90)");
    expect(await json(...args)).toMatchObject({
      model: "MoR",
      convention: "mor",
      tokens: 2048,
      steps: expect.closeTo(14215.9, 1),
    });
  });

  it("tells of each kind of expert what it holds, how many entries it is expected to have, and what one costs", async () => {
    const integrated = ["cost", "examples/mode.mod", "--set", "staged=false", "--set", "depth=2"];
    const text = await fine(...integrated);
    expect(text.slice(text.indexOf("mixtures"), text.indexOf("\n\n", text.indexOf("mixtures")))).toBe(
      [
        "mixtures                          experts  parameters each  bytes each  entries each  operations an entry",
        "layers.0.inner.mlp and 1 alike   4 SwiGLU           98,304     384 KiB          42.7              197.1 k",
        "                                2 Nothing                -           -          42.7                    -",
      ].join("\n"),
    );
    expect(await json(...integrated)).toMatchObject({
      mixtures: [
        { paths: ["layers.0.inner.mlp", "layers.1.inner.mlp"], kinds: [{ block: "SwiGLU" }, { entries: 256 / 6 }] },
      ],
    });
  });

  it(
    "shows the cache in half precision: 512 MiB dense, 288 MiB with every other layer at an eighth",
    { tags: "long" },
    async () => {
      const llama = ["--set", "dim=4096", "--set", "heads=32", "--set", "kv_heads=8", "--set", "vocab=16"];
      expect(
        await fine("cost", "examples/smollm-mod.mod", ...llama, "--activations-as", "f16", "--length", "4096"),
      ).toMatch(/^total .* 288 MiB +0\.5625 /m);
      expect(
        await fine(
          "cost",
          "examples/smollm-mod.mod",
          ...llama,
          "--activations-as",
          "f16",
          "--length",
          "4096",
          "--set",
          "capacity=100%",
        ),
      ).toMatch(/^total .* 512 MiB +1\.0000 /m);
    },
  );

  it.each([
    [["--at", "Q=3"], "the model has no axis Q"],
    [["--length", "5e3"], "--length 5000: the model allows 4096\n  hint: --set context=5000 allows it"],
    [["--live", "capacity=1"], "the model has no live parameter capacity"],
  ])("refuses %j", async (args, message) => {
    const { status, stderr } = await modc(["cost", "examples/smollm-mod.mod", "--set", "depth=2", ...args]);
    expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
  });
});

describe("explain and doc", () => {
  it("explains a code, lists all, and refuses others", async () => {
    expect(await fine("explain", "ragged-axis")).toMatch(/^error\[ragged-axis\]\n\n/);
    expect(await fine("explain")).toContain("capacity-out-of-range");
    const codes = (await json("explain")) as readonly { readonly code: string; readonly summary: string }[];
    for (const { code, summary } of codes) expect(`${code}: ${summary}`).toMatch(/\.$/);
    expect((await modc(["explain", "no-such-code"])).status).toBe(1);
  });

  it("documents the library, a file, and the built-in functions", async () => {
    const library = await fine("doc");
    for (const block of [
      "Linear",
      "Embedding",
      "RMSNorm",
      "LayerNorm",
      "Attention",
      "SwiGLU",
      "GeluMLP",
      "Layer",
      "Residual",
      "Predictor",
      "MoD",
    ])
      expect(library).toContain(`block ${block}(`);
    expect(await fine("doc", "examples/moby.mod")).toMatch(
      /^model Moby\(vocab: int = 256,.*\n {4}A byte-level decoder/,
    );
    const functions = await fine("doc", "builtins");
    for (const name of ["attention", "top", "above", "take", "put", "cross_entropy", "rearrange", "ceil"])
      expect(functions).toMatch(new RegExp(`^${name}\\(`, "m"));
    expect(await fine("doc", "MoD")).toContain("arXiv 2404.02258");
    // with the functions of blocks
    expect(await fine("doc", "RWKV7TimeMix")).toMatch(/^ {4}values\(x: f32\[B, T, dim\]\) -> f32\[B, T, dim\]$/m);
    const denoise = await fine("doc", "examples/inputs/denoise.mod");
    expect(denoise).toContain(
      "    update(x: f32[B, T, dim], condition: f32[B, dim]) -> f32[B, T, dim]\n        The update",
    );
    expect(denoise).toMatch(/^ {4}objective\(image: f32\[B, channels, size, size\], label: u32\[B\]\)$/m);
    expect((await modc(["doc", "NoSuchThing"])).status).toBe(1);
  });
});

describe("the public API", () => {
  it("examples/run.ts runs", { tags: "long" }, async () => {
    const { spawnSync } = await import("node:child_process");
    const { status, stdout } = spawnSync(
      process.execPath,
      [join(root, "node_modules", "tsx", "dist", "cli.mjs"), join(root, "examples", "run.ts"), "Call me Ishmael"],
      { encoding: "utf8" },
    );
    expect(status).toBe(0);
    // by the trained weights a space, a comma or a full stop
    expect(stdout).toMatch(/^most likely next byte: \d+ "[ ,.;-]"\ntokens that took layer 1: \[/);
  });
});
