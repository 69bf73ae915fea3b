// What a command is given by mistake is told by what it is, and what would have no effect is refused.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SMALL, writeRun } from "../session/runs.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-told-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (...names: readonly string[]): string => join(folder, ...names);
const [model, text, program, ran] = [path("small.mod"), path("text.txt"), path("program.json"), path("run")];
const checkpoint = path("run", "checkpoints", "best");

beforeAll(async () => {
  writeFileSync(model, SMALL);
  writeFileSync(text, "Call me Ishmael. ".repeat(40));
  await writeRun(ran, { file: model, text: SMALL, set: { dim: "8", depth: "2" }, data: text, steps: [1], best: 1 });
  await run(["compile", model, "-o", program]);
  writeFileSync(path("log.jsonl"), '{"kind":"step","step":1}\n');
  writeFileSync(path("other.json"), '{"a": 1}\n');
});

describe("a file that is no model's source", () => {
  it.each([
    [
      () => program,
      "is a compiled program, not the source of a model",
      "name it .json for `modc run`, `plan` or `profile`",
    ],
    [() => join(checkpoint, "manifest.json"), "is the manifest of a checkpoint", "give its folder"],
    [() => join(checkpoint, "model.safetensors"), "is a safetensors file", "give the model first"],
    [() => path("log.jsonl"), "is the log of a run", "give its folder"],
    [() => path("other.json"), "is JSON", "give the model's .mod file"],
  ])("%s", async (given, what, hint) => {
    for (const words of [["check"], ["generate", "--prompt", "a"]]) {
      const { status, stdout, stderr } = await run([words[0]!, given(), ...words.slice(1)]);
      expect([status, stdout, stderr]).toEqual([1, "", expect.stringContaining(`${given()} ${what}`)]);
      expect(stderr).toContain(`hint: ${hint}`);
    }
  });

  it("nor is another JSON a program", async () => {
    const { status, stderr } = await run(["run", path("other.json"), "--text", "a"]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining(`${path("other.json")} is not a compiled program: it has`),
    ]);
    expect((await run(["run", join(checkpoint, "manifest.json")])).stderr).toContain(
      "hint: it is the manifest of a checkpoint: give its folder",
    );
  });
});

it("check tells errors with --json as other commands do: on one line, the first of them as the fault", async () => {
  writeFileSync(path("bad.mod"), "model M() { forward(x: f32[B, T, 2]) -> f32[B, T, 2] { y } }\n");
  const [checked, compiled] = [
    await run(["check", path("bad.mod"), "--json"]),
    await run(["ir", path("bad.mod"), "--json"]),
  ];
  expect(checked.stdout.trimEnd().split("\n")).toHaveLength(1);
  const { file, errors, warnings, ...fault } = JSON.parse(checked.stdout) as Record<string, unknown>;
  expect(fault).toEqual(JSON.parse(compiled.stdout));
  expect([file, errors, warnings, checked.status]).toEqual([path("bad.mod"), 1, 0, 1]);
});

describe("options without effect", () => {
  const train = (...more: readonly string[]): readonly string[] => [
    "train",
    model,
    "--data",
    text,
    "-o",
    path("new"),
    ...more,
  ];
  it.each([
    [train("--decay", "5"), "--decay has no effect: schedule is cosine"],
    [train("--momentum", "0.5"), "--momentum has no effect: optimizer is adamw"],
    [train("--optimizer", "sgd", "--beta1", "0.5"), "--beta1 has no effect: optimizer is sgd"],
    [train("--schedule", "constant", "--min-lr", "0"), "--min-lr has no effect: schedule is constant"],
    [train("--field", "x"), "--field has no effect: "],
    [["eval", model, "--data", text, "--field", "x"], "--field has no effect: "],
  ])("%j", async (words, message) => {
    expect(await run(words)).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(`error: ${message}`),
    });
  });
});

describe("small things", () => {
  it("an empty name, and one that is very long", async () => {
    expect(await run(["init", model, "--weights", "", "-o", path("w")])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--weights is empty\n  hint: give one path, or a path for each block"),
    });
    expect((await run(["check", "a".repeat(5000)])).stderr.length).toBeLessThan(400);
  });

  it("one kernel is told as one", async () => {
    writeFileSync(
      path("one.mod"),
      "model One() { weight w: f32[2]\n forward(x: f32[B, T, 2]) -> f32[B, T, 2] { x * w } }\n",
    );
    expect((await run(["compile", path("one.mod"), "-o", path("one.json")])).stdout).toContain(
      ": 1 kernel, 1 step, 1 weight, ",
    );
  });

  it("a kernel is found without its number", async () => {
    expect((await run(["wgsl", path("one.mod"), "mul"])).stdout).toBe(
      (await run(["wgsl", path("one.mod"), "mul.0"])).stdout,
    );
  });

  it("a run is a model to doc and import too", async () => {
    expect((await run(["doc", ran])).stdout).toBe((await run(["doc", model])).stdout);
    expect(await run(["import", ran])).toMatchObject({ status: 0, stdout: SMALL });
  });

  it("a terminal that calls itself dumb is not drawn over", async () => {
    const { runCli } = await import("../../../src/tools/cli/run-cli.js");
    const said: string[] = [];
    const stderr = { write: (line: string) => said.push(line), isTTY: true };
    await runCli(["check", path("none.mod")], { stderr, stdout: stderr, env: { TERM: "dumb" } });
    expect(said.join("")).toMatch(/^error: cannot read /);
  });
});
