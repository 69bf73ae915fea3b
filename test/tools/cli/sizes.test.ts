// Sizes beyond a device: told at once, by what is too large and by the options that say how large a run is.
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const MOBY = "examples/moby.mod";
const text = folder.file("text.txt", "the whale ".repeat(60));

it.each([
  [["profile", MOBY, "--batch", "1000000000"], "--batch, --length, --at"],
  [["profile", MOBY, "--length", "1", "--batch", "500000000"], "--batch, --length, --at"],
  [["verify", MOBY, "--batch", "4000000000"], "--batch, --length, --at"],
  [["eval", MOBY, "--data", text, "--length", "16", "--batch", "1000000000", "--windows", "0"], null],
  [
    ["train", MOBY, "--data", text, "--length", "16", "--batch", "100000000", "-o", join(folder.path, "run")],
    "--batch, --length",
  ],
])("%j", { tags: "long" }, async (words, options) => {
  const { status, stdout, stderr } = await run(words);
  if (options === null) return expect(status).toBe(0); // as many sequences as the text has
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^error: \S+ needs [\d.]+ [GT]iB, the device allows [\d.]+ [MG]iB \(max\w+\)$/m);
  expect(stderr).toContain(`hint: give smaller sizes: ${options}\n`);
});

it("are planned, with a word that they do not run", async () => {
  const words = ["plan", MOBY, "--batch", "4e9", "--target", "portable"];
  expect(await run(words)).toMatchObject({
    status: 0,
    stderr: expect.stringMatching(
      /^warning: it does not run at these sizes: tokens needs 3\.7 TiB, the device allows /,
    ),
  });
  expect((await run(["plan", MOBY, "--target", "portable"])).stderr).toBe("");
});

it("an option of the library is told by its name on the command line", async () => {
  // which is not there: it is told before weights are read
  const words = ["generate", MOBY, "--weights", join(folder.path, "none"), "--prompt", "a"];
  expect(await run([...words, "--logit-bias", "999=1"])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/^error: --logit-bias must be of tokens/),
  });
});
