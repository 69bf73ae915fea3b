// Faults as programs read them: with --json every command that fails prints one object, on one line of standard output.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { commandLine } from "../../../src/tools/cli/command-line.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-failures-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const broken = file("broken.mod", "model M() {\n  forward(x: f32[B, T]) -> f32[B, T] { y }\n}\n");
const sound = file("sound.mod", "model M() { forward(x: f32[B, T <= 8, 4]) -> f32[B, T, 4] { x } }\n");

/** The JSON that a failing command prints; nothing of it stands on standard error. */
async function failure(...words: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await run(words);
  expect(stdout.match(/\n/g)).toHaveLength(1);
  expect(stderr).not.toContain("error");
  const told = JSON.parse(stdout) as Record<string, unknown>;
  expect(told["exit"]).toBe(status);
  return told;
}

const commands = commandLine(() => undefined).commands.filter((c) => c.options.some((o) => o.long === "--json"));
/** Arguments that a command checks before reading the file. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  init: ["-o", join(folder, "x")],
  convert: ["-o", join(folder, "x")],
  train: ["-o", join(folder, "x"), "--data", sound],
  eval: ["--data", sound],
  routes: ["--data", sound],
  adapt: ["--on", "attn", "--rank", "2", "-o", join(folder, "x")],
  generate: ["--prompt", "a"],
  build: ["-o", join(folder, "x"), "--weights", "w"],
  run: ["--input", "x=[[1]]"],
  export: ["--to", "torch", "-o", join(folder, "x")],
};

describe("--json covers faults", () => {
  it.each(commands.map((c) => c.name()))("of the command line: %s", async (name) => {
    for (const words of [
      [name, "x", "--no-such-option", "--json"],
      [name, "--json", "--no-such-option"],
    ])
      expect(await failure(...words)).toMatchObject({
        exit: 2,
        code: expect.any(String),
        message: expect.any(String),
        hint: expect.any(String),
        spans: [],
      });
  });

  it.each(commands.filter((c) => c.registeredArguments[0]?.name().startsWith("file")).map((c) => c.name()))(
    "of files: %s",
    async (name) => {
      const told = await failure(name, "/nowhere/x.mod", ...(NEEDED[name] ?? []), "--json");
      expect(told).toMatchObject({
        exit: 1,
        code: "cannot-read",
        message: "cannot read /nowhere/x.mod: there is no such file",
        hint: null,
        spans: [],
      });
    },
  );

  const place = { file: broken, start: 51, end: 52, from: { line: 2, column: 40 }, to: { line: 2, column: 41 } };
  it.each(["ir", "wgsl", "compile", "build", "run", "init", "plan", "profile", "cost", "tune", "generate"])(
    "of a source: %s",
    async (name) => {
      expect(await failure(name, broken, ...(NEEDED[name] ?? []), "--json")).toMatchObject({
        exit: 1,
        code: "unknown-name",
        message: "nothing is called `y` here",
        hint: expect.stringContaining("declare the name"),
        spans: [place],
        diagnostics: [{ code: "unknown-name", severity: "error", span: place }],
      });
    },
  );

  it("of names, with what was meant", async () => {
    expect(await failure("explain", "unknown-nam", "--json")).toMatchObject({
      exit: 1,
      code: "refused",
      hint: "did you mean unknown-name?",
    });
    expect(await failure("doc", "RMSNrom", "--json")).toMatchObject({ exit: 1, hint: "did you mean RMSNorm?" });
    expect(await failure("doc", "std", "RMSnorm", "--json")).toMatchObject({ exit: 1, hint: "did you mean RMSNorm?" });
  });

  it("of what stands behind an option, and of words that are none", async () => {
    expect(await failure("check", sound, "--phase", "dream", "--json")).toMatchObject({
      exit: 2,
      code: "invalid-argument",
    });
    expect(await failure("check", "--json")).toMatchObject({ exit: 2, code: "missing-argument" });
    expect(await failure("chekc", "--json")).toMatchObject({
      exit: 2,
      code: "unknown-command",
      hint: "did you mean check?",
    });
    expect(await failure("cost", sound, "--require-gpu", "--json")).toMatchObject({ exit: 2, code: "unknown-option" });
    expect(await failure("run", sound, "--require-gpu", "--json")).toMatchObject({
      exit: 2,
      code: "renamed-option",
      hint: "write --device gpu",
    });
  });

  it("and leaves warnings, and what is fine, as they are", async () => {
    const { status, stdout, stderr } = await run(["check", sound, "--json"]);
    expect([status, stderr, (JSON.parse(stdout) as { errors: number }).errors]).toEqual([0, "", 0]);
  });

  it("of weights, with the parameter that explains why they do not fit", async () => {
    const words = [
      "run",
      "examples/moby.mod",
      "--set",
      "dim=64",
      "--weights",
      "examples/moby.safetensors",
      "--text",
      "a",
      "--device",
      "reference",
    ];
    expect(await failure(...words, "--json")).toMatchObject({
      exit: 1,
      code: "bad-weights",
      message: expect.stringContaining("wrong shape"),
      hint: "every mismatch would fit with dim: 128 (the model has 64): --set dim=128",
    });
  });

  it("a file called --json is none of it", async () => {
    expect(await run(["check", "--", "--json"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining("cannot read --json"),
    });
  });
});
