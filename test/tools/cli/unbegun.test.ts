// If a training run does not begin, it leaves no files of its own, and other files are unchanged.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const text = folder.file("text.txt", "the whale ".repeat(60));
const short = folder.file("short.txt", "the whale");
const train = (output: string, ...more: readonly string[]): Promise<{ readonly status: number }> =>
  run(["train", "examples/moby.mod", "-o", output, "--steps", "1", ...more]);

describe("a run that does not begin", () => {
  const cases: readonly (readonly string[])[] = [
    ["--data", join(folder.path, "nope")],
    ["--data", short],
    ["--data", text, "--weights", join(folder.path, "nope")],
    ["--data", text, "--length", "16", "--batch", "100000000"],
  ];
  it.each(cases)("%s %s %s %s leaves no folder, nor those above it", { tags: "long" }, async (...given) => {
    expect((await train(join(folder.path, "above", "run"), ...given)).status).toBe(1);
    expect(existsSync(join(folder.path, "above"))).toBe(false);
  });

  it("leaves what was there", async () => {
    const output = folder.folder("there");
    writeFileSync(join(output, "mine.txt"), "mine");
    expect((await train(output, "--data", short)).status).toBe(1);
    expect(readdirSync(output)).toEqual(["mine.txt"]);
  });
});
