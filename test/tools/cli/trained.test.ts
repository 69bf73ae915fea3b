// Commands on what `train` wrote: a run's folder or a checkpoint brings its text, parameters, weights and tokenizer.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fromBytes, readSafetensors } from "../../../src/runtime/index.js";
import { openSession } from "../../../src/tools/session/index.js";
import { openTrained } from "../../../src/models/runs/trained-node.js";
import { SMALL, writeRun } from "../session/runs.js";
import { run, type Ran } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-trained-"));
const [file, data, ran] = ["small.mod", "text.txt", "run"].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
const best = join(ran, "checkpoints", "best");
const weights = join(ran, "checkpoints", "step-00000020", "model.safetensors");
const RUN = { file, text: SMALL, set: { dim: "8", depth: "2" }, data, steps: [10, 20, 30], best: 20 };
/** What had to be said before. */
const SAID = ["--weights", weights, "--set", "dim=8", "--set", "depth=2"];

beforeAll(async () => {
  writeFileSync(file, SMALL);
  writeFileSync(data, "Call me Ishmael. Some years ago, never mind how long precisely. ".repeat(20));
  await writeRun(ran, RUN);
  mkdirSync(join(folder, "none-yet", "checkpoints"), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const furthest = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
const NOTE = `note: ${ran}: the checkpoint of step 20, the best so far\n`;
const results = ({ status, stdout }: Ran): unknown => [
  status,
  stdout.replace(/("milliseconds"|"firstToken"|"generation"): ?[^,}]*/g, ""),
];

describe("a run's folder is a model", () => {
  it("to generate, also in the library: the best checkpoint, with its parameters", { tags: "long" }, async () => {
    const words = ["--prompt", "Call me", "--max-tokens", "6"];
    const [named, whole] = [await run(["generate", file, ...SAID, ...words]), await run(["generate", ran, ...words])];
    expect([whole.status, whole.stdout]).toEqual([0, named.stdout]);
    expect(whole.stderr).toContain(NOTE);
    const session = await openSession(best);
    let text = "";
    for await (const event of session.generate("Call me", { maxTokens: 6 })) text += event.text;
    session.dispose();
    expect(`${text}\n`).toBe(named.stdout);
  });

  it("but not one to quantize, which writes folders with a config.json", async () => {
    const { status, stderr } = await run(["quantize", ran, "-o", join(folder, "blocks")]);
    expect(status).toBe(1);
    expect(stderr).toContain(`hint: write its weights in blocks with modc init ${ran} --weights-as q8`);
  });

  it("to a library that passes no weights, or no path", async () => {
    const session = await openSession(best, { weights: null as never });
    session.dispose();
    await expect(openSession(undefined as never)).rejects.toThrow("cannot read undefined");
  });

  it("to run, and to look at", { tags: "long" }, async () => {
    const text = ["--text", "Call", "--device", "reference", "--json"];
    expect(results(await run(["run", ran, ...text]))).toEqual(results(await run(["run", file, ...SAID, ...text])));
    // The run is trained on bytes: another tokenizer is not left out without a word.
    const other = ["--to", "torch", "--tokenizer", data, "-o", join(folder, "torch")];
    expect(await run(["export", ran, ...other])).toMatchObject({ status: 2, stdout: "" });
    for (const words of [["cost"], ["budget"], ["plan", "--target", "portable"], ["ir"], ["wgsl"], ["compile"]]) {
      const [name, ...more] = words as [string, ...string[]];
      expect(results(await run([name, ran, ...more]))).toEqual(
        results(await run([name, file, ...SAID.slice(2), ...more])),
      );
    }
    expect(await run(["check", ran])).toMatchObject({
      status: 0,
      stderr: NOTE,
      stdout: expect.stringContaining("Small (infer), Small (train): no errors"),
    });
    expect([
      openTrained(ran)?.path,
      openTrained(best)?.manifest.step,
      openTrained(join(ran, "checkpoints", "last"))?.manifest.step,
    ]).toEqual([dirname(weights), 20, 30]);
  });

  it("to measure", async () => {
    const bench = await run(["bench", ran, "-p", "8", "-n", "0", "-r", "1", "--json"]);
    expect([bench.status, JSON.parse(bench.stdout)]).toMatchObject([0, { models: [{ path: ran, weightsAs: "f32" }] }]);
  });

  it("to begin another run with: its parameters and its weights", { tags: "long" }, async () => {
    const output = join(folder, "begun");
    const still = ["--optimizer", "sgd", "--lr", "1e-30", "--weight-decay", "0", "--warmup", "0", "--steps", "1"];
    const sizes = ["--batch", "1", "--length", "8"];
    const { status, stderr } = await run(["train", ran, "--data", data, "-o", output, ...still, ...sizes]);
    expect([status, stderr]).toEqual([0, expect.stringContaining(NOTE)]);
    const begun = readSafetensors(readFileSync(join(output, "checkpoints", "last", "model.safetensors")));
    const before = readSafetensors(readFileSync(weights));
    expect([...begun.tensors.keys()]).toEqual([...before.tensors.keys()]);
    // A step of that rate changes nothing but zeros.
    for (const key of before.tensors.keys()) {
      const [own, theirs] = [begun, before].map(async (file) => fromBytes(await file.read(key), "F32", "f32"));
      expect(furthest((await own) as Float32Array, (await theirs) as Float32Array), key).toBeLessThan(1e-20);
    }
  });

  it("to build a package of", async () => {
    const output = join(folder, "package");
    expect(await run(["build", ran, "-o", output, "--json"])).toMatchObject({ status: 0, stderr: NOTE });
  });

  it("to evaluate, on what it held out where no text is named", { tags: "long" }, async () => {
    const { status, stdout, stderr } = await run(["eval", ran, "--json"]);
    const length = ["--length", "16"]; // of windows as long as those of training
    const named = await run(["eval", file, ...SAID, "--data", data, "--validation", "25%", ...length, "--json"]);
    expect([status, JSON.parse(stdout)]).toEqual([0, JSON.parse(named.stdout)]);
    expect(stderr).toContain(`note: the text is ${data}, its last 25.0%, held out in training\n`);
    const noted = async (validation: string): Promise<string> =>
      (await run(["eval", ran, "--validation", validation, "--length", "99"])).stderr;
    expect(await noted("5%")).toContain(`note: the text is ${data}, its last 5.0%\n`);
    expect(await noted("1/4")).toContain(", its last 25.0%, held out in training\n");
    expect(await run(["eval", ran, "--set", "context=8", "--windows", "1", "--rule", "causal"])).toMatchObject({
      status: 0,
    });
    expect(await run(["eval", file, "--json"])).toMatchObject({
      status: 2,
      stdout: expect.stringContaining("--data is missing"),
    });
  });

  it("with parameters given anew where they leave the weights as they are", async () => {
    expect(await run(["cost", ran, "--set", "context=16", "--json"])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('"T": 16'),
    });
    expect(await run(["cost", ran, "--set", "dim=16", "--json"])).toMatchObject({
      status: 1,
      stdout: expect.stringContaining("--set dim=16 contradicts "),
    });
    expect((await run(["generate", best, "--prompt", "a", "--set", "depth=3"])).stderr).toMatch(
      /--set depth=3 contradicts .*, whose weights have depth = 2\n/,
    );
    expect((await run(["cost", ran, "--model", "Other"])).stderr).toContain(
      "is of Small: --model Other contradicts it",
    );
  });
});

describe("a run's folder is weights", () => {
  it("of a model that is named: its best checkpoint, also in the library", { tags: "long" }, async () => {
    const [output, from] = [join(folder, "a.safetensors"), join(folder, "b.safetensors")];
    const set = SAID.slice(2);
    expect(await run(["init", file, "--weights", ran, ...set, "-o", output])).toMatchObject({
      status: 0,
      stderr: NOTE,
    });
    await run(["init", file, ...SAID, "-o", from]);
    expect(readFileSync(output)).toEqual(readFileSync(from));
    expect(await run(["init", ran, "-o", output])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/ of Small, [\d,]+ numbers, from .*step-00000020\n$/),
    });
    expect(readFileSync(output)).toEqual(readFileSync(from));
    const words = ["--prompt", "Call me", "--max-tokens", "6"];
    const named = await run(["generate", file, ...SAID, ...words]);
    expect(await run(["generate", file, "--weights", ran, ...set, ...words])).toMatchObject({
      status: 0,
      stdout: named.stdout,
    });
    const session = await openSession(file, { weights: ran, set: { dim: 8, depth: 2 } });
    let text = "";
    for await (const event of session.generate("Call me", { maxTokens: 6 })) text += event.text;
    session.dispose();
    expect(`${text}\n`).toBe(named.stdout);
    // What does not fit is explained, and what there is can be looked at.
    const misfit: unknown = await openSession(file, { weights: ran }).catch((fault: unknown) => fault);
    expect(misfit).toMatchObject({
      hint: expect.stringContaining("dim: 8 (the model has 16)"),
      tensors: expect.any(Map),
    });
    expect(
      await run(["train", file, "--weights", join(folder, "none-yet"), "--data", data, "-o", join(folder, "x")]),
    ).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${join(folder, "none-yet")} has no checkpoint yet`),
    });
  });
});

describe("what is wrong with a run's folder is said:", () => {
  it("its file has changed, or has gone: the checkpoint's own text is used", async () => {
    const [moved, path] = [join(folder, "moved.mod"), join(folder, "other")];
    await writeRun(path, { ...RUN, file: moved, steps: [5], best: 5 });
    expect(await run(["check", path])).toMatchObject({ status: 0, stderr: expect.not.stringContaining("changed") });
    writeFileSync(moved, "model Other() { forward(x: f32[B, T]) -> f32[B, T] { x } }\n");
    expect(await run(["check", path])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("Small (infer)"),
      stderr: expect.stringContaining(
        `note: ${moved} has changed since training: the copy in the checkpoint is used\n`,
      ),
    });
  });

  it("no checkpoint yet; one that is not whole; a tokenizer that has gone", async () => {
    const path = join(folder, "broken");
    mkdirSync(join(path, "checkpoints"), { recursive: true });
    expect(await run(["generate", path, "--prompt", "a"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`${path} has no checkpoint yet\n  hint: training writes one`),
    });
    const ofPytorch = join(path, "checkpoints", "step-00000004");
    mkdirSync(ofPytorch);
    writeFileSync(join(ofPytorch, "run.json"), "{}");
    expect((await run(["generate", path, "--prompt", "a"])).stderr).toContain(
      `${path} is a run of train.py, whose checkpoints are PyTorch's\n  hint: \`python checkpoint.py weights ${path} `,
    );
    rmSync(ofPytorch, { recursive: true });
    await writeRun(path, { ...RUN, tokenizer: join(folder, "gone", "tokenizer.json"), steps: [5], best: 5 });
    expect((await run(["generate", path, "--prompt", "a"])).stderr).toMatch(
      /gone\/tokenizer\.json, the tokenizer that .* was trained with, is missing\n {2}hint: give its present path/,
    );
    writeFileSync(join(path, "checkpoints", "best", "model.safetensors"), "x");
    expect((await run(["cost", path])).stderr).toMatch(/model\.safetensors has 1 bytes, but \d+ were written/);
    writeFileSync(join(path, "checkpoints", "best", "source-0.mod"), SMALL.replace("16", "17"));
    writeFileSync(join(path, "checkpoints", "best", "manifest.json"), "{}");
    expect((await run(["cost", path])).stderr).toContain("manifest.json is not one of modc's");
  });

  it("of checkpoints that nothing leads to the newest is that of the highest step", async () => {
    const path = join(folder, "long");
    await writeRun(path, { ...RUN, steps: [5, 6], best: 5 });
    const checkpoints = join(path, "checkpoints");
    for (const name of ["best", "last"]) rmSync(join(checkpoints, name));
    renameSync(join(checkpoints, "step-00000006"), join(checkpoints, "step-100000000"));
    renameSync(join(checkpoints, "step-00000005"), join(checkpoints, "step-99999999"));
    expect(openTrained(path)).toMatchObject({ path: join(checkpoints, "step-100000000"), chosen: "newest" });
  });

  it.skipIf(process.platform === "win32")("a manifest or a source that nobody writes is not waited for", async () => {
    const [moved, path] = [join(folder, "pipe.mod"), join(folder, "piped")];
    await writeRun(path, { ...RUN, file: moved, steps: [5], best: 5 });
    execFileSync("mkfifo", [moved]);
    expect(openTrained(path)).toMatchObject({ changed: [] });
    const manifest = join(path, "checkpoints", "best", "manifest.json");
    rmSync(manifest);
    execFileSync("mkfifo", [manifest]);
    expect(() => openTrained(path)).toThrow("manifest.json is not a plain file");
  });

  it("a folder that is none is taken for what it is", () => {
    expect(openTrained(folder)).toBeNull();
    expect(openTrained("test")).toBeNull();
    expect(openTrained(file)).toBeNull();
  });

  it("a run of a model without a config.json is not converted", async () => {
    expect(await run(["convert", ran, "-o", join(folder, "routed")])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(
        "which is not a folder with a config.json: it already has routes\n  hint: give a dense checkpoint: " +
          "a folder with a config.json",
      ),
    });
  });
});

it("eval tells how far quantized weights deviate", { tags: "long" }, async () => {
  const moby = ["examples/moby.mod", "--weights", "examples/moby.safetensors", "--data", "examples/moby-dick.txt"];
  const words = ["eval", ...moby, "--windows", "1", "--rule", "top-k", "--weights-as"];
  const { status, stdout } = await run([...words, "q8", "--json"]);
  expect(status).toBe(0);
  const { deviation } = JSON.parse(stdout).rules["top-k"];
  expect(deviation.divergence).toBeGreaterThan(1e-6);
  expect(deviation.divergence).toBeLessThan(1e-3);
  expect(deviation.sameToken).toBeGreaterThan(0.9);
  expect(Object.keys(deviation.sameChoice).length).toBeGreaterThan(0);
  for (const share of Object.values(deviation.sameChoice)) expect(share).toBeGreaterThan(0.95);
});
