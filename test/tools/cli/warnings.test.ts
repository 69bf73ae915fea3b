// Warnings are told by every command that compiles, once; what only bears on generating is told by `check` alone.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SMALL } from "../session/runs.js";
import { soaking } from "../../soak.js";
import { run } from "./in-process.js";

const folder = mkdtempSync(join(tmpdir(), "modc-warnings-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const place = (name: string): string => join(folder, name);
const file = place("small.mod");
writeFileSync(
  file,
  SMALL.replace("  layers:", "  weight unused: f32[3]\n  layers:").replace("depth: int = 4", "depth: int = 2"),
);
const data = place("text.txt");
writeFileSync(data, "Call me Ishmael. Some years ago, never mind how long precisely. ".repeat(20));

const times = (text: string, word: string): number => text.split(word).length - 1;

describe("a weight that nothing reads", () => {
  it.each([
    ["check", file],
    ["cost", file],
    ["ir", file],
    ["wgsl", file],
    ["plan", file, "--target", "portable"],
    ["compile", file],
    ["init", file, "-o", place("w.safetensors")],
    ["build", file, "--weights", place("w.safetensors"), "-o", place("package")],
    ["run", file, "--text", "Call", "--device", "reference"],
    ["eval", file, "--data", data, "--windows", "1"],
    [
      "train",
      file,
      "--data",
      data,
      "-o",
      place("run"),
      "--steps",
      "1",
      "--batch",
      "1",
      "--length",
      "8",
      "--windows",
      "1",
    ],
    ["generate", file, "--prompt", "Call", "--max-tokens", "1"],
    ...(soaking ? [["profile", file, "--length", "8", "--repeat", "1"]] : []),
  ])("is told by %s, once", { tags: "long", timeout: 120_000 }, async (...words) => {
    const { status, stderr } = await run(words);
    expect([status, times(stderr, "warning[unread-weight]")], stderr).toEqual([0, 1]);
  });

  it("is not told where it is allowed", async () => {
    const allowed = place("allowed.mod");
    writeFileSync(
      allowed,
      SMALL.replace(
        "  layers:",
        "  // @allow unread-weight: older checkpoints hold it\n  weight unused: f32[3]\n  layers:",
      ),
    );
    for (const words of [
      ["check", allowed],
      ["cost", allowed],
    ])
      expect(await run(words)).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("that a model cannot be generated with", () => {
  it("is told by check alone", async () => {
    const ahead = "test/language/diagnostics/cannot-generate.mod";
    expect((await run(["check", ahead])).stderr).toContain("note[cannot-generate]");
    for (const words of [["cost"], ["ir"], ["run", "--input", "tokens=[[1,2]]", "--device", "reference"]])
      expect((await run([words[0]!, ahead, ...words.slice(1)])).stderr).not.toContain("cannot-generate");
  });
});
