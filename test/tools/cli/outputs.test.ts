// What a command writes: never over what it reads, and to devices and links as to files.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./in-process.js";
import { GOLDEN, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const path = (...names: readonly string[]): string => join(folder.path, ...names);
const CONFIG = JSON.stringify({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 256,
  max_position_embeddings: 16,
  rms_norm_eps: 1e-5,
});

beforeAll(async () => {
  copyFileSync("examples/golden.mod", path("golden.mod"));
  folder.file("lib.mod", "block Twice { forward(x: f32[B, T, 2]) -> f32[B, T, 2] { x + x } }\n");
  folder.file(
    "main.mod",
    'import { Twice } from "./lib.mod"\nmodel M { b: Twice\n  forward(x: f32[B, T, 2]) -> f32[B, T, 2] { b(x) } }\n',
  );
  expect((await run(["init", path("golden.mod"), "-o", path("golden.safetensors")])).status).toBe(0);
  folder.folder("checkpoint");
  folder.file("checkpoint/config.json", CONFIG);
  copyFileSync(path("golden.safetensors"), path("checkpoint", "model.safetensors"));
});

describe("what a command reads is never written over", () => {
  const [mod, weights] = [path("golden.mod"), path("golden.safetensors")];
  const checkpoint = path("checkpoint");
  const x = GOLDEN.slice(1);

  it.each([
    ["compile", mod, "-o", mod],
    ["init", mod, "-o", mod],
    ["run", mod, ...x, "--device", "reference", "-o", mod],
    ["run", mod, ...x, "--device", "reference", "--weights", weights, "-o", weights],
    ["run", mod, "--device", "reference", "--input", `x=@${path("x.json")}`, "-o", path("x.json")],
    ["build", mod, "--weights", weights, "--single-file", mod],
    ["build", mod, "--weights", weights, "--single-file", weights],
    ["generate", mod, "--prompt", "a", "--heatmap", mod],
    ["generate", mod, "--prompt", `@${path("x.json")}`, "--heatmap", path("x.json")],
    ["profile", mod, "--trace", mod],
    ["verify", mod, "-o", mod],
    ["tune", mod, "-o", mod],
    ["import", checkpoint, "-o", join(checkpoint, "config.json")],
    ["init", checkpoint, "-o", join(checkpoint, "model.safetensors")],
  ])("%s %s %s %s …", async (...words) => {
    writeFileSync(path("x.json"), "[[[1],[3],[2],[4]]]");
    const target = words.at(-1)!;
    const before = readFileSync(target);
    const { status, stdout, stderr } = await run(words);
    expect([status, stdout, stderr]).toEqual([
      2,
      "",
      expect.stringMatching(/-- ?[a-z-]+ \S+ would overwrite \S+, which the command reads/),
    ]);
    expect(readFileSync(target)).toEqual(before);
  });

  it("nor is a file that the model imports", async () => {
    const before = readFileSync(path("lib.mod"));
    const { status, stderr } = await run(["compile", path("main.mod"), "-o", path("lib.mod")]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/lib\.mod is not a compiled program, and would be overwritten/),
    ]);
    expect(readFileSync(path("lib.mod"))).toEqual(before);
  });

  it("nor is a file of a checkpoint, whatever is read", async () => {
    folder.folder("kept");
    for (const name of ["manifest.json", "state.safetensors", "model.safetensors"]) folder.file(`kept/${name}`, name);
    const { status, stderr } = await run(["init", mod, "-o", path("kept", "model.safetensors")]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("would overwrite a file of a checkpoint")]);
    expect(readFileSync(path("kept", "model.safetensors"), "utf8")).toBe("model.safetensors");
    symlinkSync(path("kept", "model.safetensors"), path("into.safetensors"));
    expect(await run(["init", mod, "-o", path("into.safetensors")])).toMatchObject({ status: 2 });
    for (const _ of [1, 2])
      expect(await run(["compile", mod, "-o", path("kept", "program.json")])).toMatchObject({ status: 0 });
  });

  it("by another name, or through links, either way", async () => {
    symlinkSync(path("golden.mod"), path("link.mod"));
    linkSync(path("golden.mod"), path("hard.mod"));
    for (const [source, output] of [
      ["golden.mod", "link.mod"],
      ["link.mod", "golden.mod"],
      ["golden.mod", "hard.mod"],
    ] as const)
      expect(await run(["compile", path(source), "-o", path(output)])).toMatchObject({ status: 2, stdout: "" });
  });

  it("but other files of its folder are, and the model.mod that no configuration is read from", async () => {
    for (const _ of [1, 2])
      expect(await run(["import", checkpoint, "-o", join(checkpoint, "model.mod")])).toMatchObject({ status: 0 });
    for (const _ of [1, 2])
      expect(await run(["compile", checkpoint, "-o", join(checkpoint, "program.json")])).toMatchObject({ status: 0 });
  });
});

describe("a file that is there", () => {
  const [mod, checkpoint] = [path("golden.mod"), path("checkpoint")];
  const weights = ["--weights", path("golden.safetensors")];
  const x = GOLDEN.slice(1);

  it.each([
    [["compile", mod, "-o"], "a compiled program"],
    [["init", mod, "-o"], "a safetensors file"],
    [["run", mod, ...x, "--device", "reference", "-o"], "a safetensors file"],
    [["build", mod, ...weights, "--single-file"], "a page of modc"],
    [["generate", mod, "--prompt", "a", "--heatmap"], "a page of modc"],
    [["export", mod, ...weights, "--to", "onnx", "-o"], "an ONNX file of modc"],
    [["profile", mod, "--trace"], "a Chrome trace of modc"],
    [["tune", mod, "-o"], "a file of tunings"],
    [["verify", mod, "-o"], "a saved fault"],
    [["budget", mod, "-o"], "a drawing of modc"],
  ])("is not written over by %j if it is not %s", async (words, what) => {
    writeFileSync(path("mine.txt"), '{ "mine": true }');
    const { status, stdout, stderr } = await run([...words, path("mine.txt")]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`mine.txt is not ${what}, and would be overwritten`);
    expect(readFileSync(path("mine.txt"), "utf8")).toBe('{ "mine": true }');
  });

  it.each([
    ["compile", mod, "-o"],
    ["export", mod, ...weights, "--to", "onnx", "-o"],
    ["init", mod, "-o"],
  ])("is written over if it is of the same kind: %s", async (...words) => {
    writeFileSync(path(`again-${words[0]}`), "");
    for (const _ of [1, 2]) expect(await run([...words, path(`again-${words[0]}`)])).toMatchObject({ status: 0 });
  });

  it("is not written over by a source that differs from it", async () => {
    const words = ["import", checkpoint, "-o", path("imported.mod")];
    expect(await run(words)).toMatchObject({ status: 0 });
    const source = readFileSync(path("imported.mod"), "utf8");
    writeFileSync(path("imported.mod"), `${source}// mine\n`);
    const { status, stderr } = await run(words);
    expect([status, stderr]).toEqual([1, expect.stringContaining("imported.mod exists, and differs")]);
    expect(readFileSync(path("imported.mod"), "utf8")).toBe(`${source}// mine\n`);
  });
});

describe("a folder to be written", () => {
  beforeAll(() => symlinkSync("nowhere-else", path("dangling")));
  const words = (output: string): readonly string[] => [
    "quantize",
    path("checkpoint"),
    "--weights-as",
    "q8",
    "-o",
    output,
  ];

  it.each([
    ["has none above it", path("nowhere", "out"), "there is no folder above it"],
    ["lies in a file", path("golden.mod", "out"), "the path above it is not a folder"],
    ["is a file", path("golden.mod"), "exists already, and is not a folder"],
    ["has the name of a file", path("b.gguf"), `name a folder, such as ${path("b")}`],
    ["is a device", "/dev/null", "exists already, and is not a folder"],
    ["is a link to nothing", path("dangling"), "exists already, and is not a folder"],
  ])("is refused plainly where it %s", async (_, output, message) => {
    const { status, stdout, stderr } = await run(words(output));
    expect([status, stdout, stderr]).toEqual([1, "", expect.stringContaining(message)]);
  });
});

const kinds = (): readonly string[] => ["init", "run"];
const wordsOf = (kind: string, output: string): readonly string[] =>
  kind === "init"
    ? ["init", path("golden.mod"), "-o", output]
    : ["run", path("golden.mod"), ...GOLDEN.slice(1), "--device", "reference", "-o", output];

describe.skipIf(process.platform === "win32")("safetensors are written", () => {
  it.each(kinds())("%s: where a link leads, be it there already or not", async (kind) => {
    mkdirSync(path(kind));
    symlinkSync(join(kind, "real.safetensors"), path(`${kind}-link`));
    for (const _ of ["made", "written again"]) {
      expect(await run(wordsOf(kind, path(`${kind}-link`)))).toMatchObject({ status: 0 });
      expect(lstatSync(path(`${kind}-link`)).isSymbolicLink()).toBe(true);
      expect(statSync(path(kind, "real.safetensors")).size).toBeGreaterThan(8);
    }
    expect(readdirSync(path(kind))).toEqual(["real.safetensors"]);
  });

  it.skipIf(process.getuid?.() !== 0 || process.platform !== "linux").each(kinds())(
    "%s: to a device, which stays one",
    async (kind) => {
      const device = path(`${kind}-null`);
      execFileSync("mknod", [device, "c", "1", "3"]);
      expect(await run(wordsOf(kind, device))).toMatchObject({ status: 0 });
      expect(lstatSync(device).isCharacterDevice()).toBe(true);
    },
  );
});

describe("- as the file to write", () => {
  it("is standard output of what stands there without one", async () => {
    for (const words of [
      ["compile", path("golden.mod")],
      ["import", path("checkpoint")],
    ])
      expect(await run([...words, "-o", "-"])).toEqual(await run(words));
  });

  it("is refused of what is no text, or stands beside what is told", async () => {
    for (const [words, why] of [
      [["init", path("golden.mod"), "-o", "-"], "--output - would go to standard output: it is not text"],
      [["profile", path("golden.mod"), "--trace", "-"], "--trace - would go to standard output: standard output has"],
    ] as const)
      expect(await run(words)).toMatchObject({ status: 2, stdout: "", stderr: expect.stringContaining(why) });
  });
});
