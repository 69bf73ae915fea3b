// `modc build` as a user calls it: what it writes, what it refuses, and that it leaves alone what is not its own.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SENTENCE_PIECE } from "../tokenizer/files.js";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const model = folder.file(
  "small.mod",
  "model Small(n: int = 8) {\n  weight w: f32[n, n] = normal(0.5)\n  forward(x: f32[B, T <= 4, n]) -> f32[B, T, " +
    "n] { x @ w }\n}\n",
);
const weights = join(folder.path, "w.safetensors");
const build = (output: string, ...more: string[]): ReturnType<typeof modc> =>
  modc(["build", model, "--weights", weights, "-o", join(folder.path, output), ...more]);

describe("modc build", () => {
  it("writes a package, and writes it again in its place", async () => {
    expect((await modc(["init", model, "-o", weights])).status).toBe(0);
    const first = await build("out");
    const note =
      "note: the package runs the model, but does not generate: the input x of a model that generates is u32[B, " +
      "T], its tokens\n";
    expect([first.status, first.stderr]).toEqual([0, note]);
    expect(first.stdout).toMatch(
      /out: package small of Small, runs \(infer\): \d+ files, [\d.]+ KiB, weights in 1 shard\n$/,
    );
    writeFileSync(join(folder.path, "out", "of-an-older-build.wgsl"), "");
    const second = await build("out", "--json", "--name", "@me/small", "--phase", "generate");
    expect([second.status, second.stderr]).toEqual([0, note]);
    expect(JSON.parse(second.stdout)).toMatchObject({
      name: "@me/small",
      model: "Small",
      phase: "generate",
      generates: false,
      shards: ["weights/00000.bin"],
    });
    expect(JSON.parse(readFileSync(join(folder.path, "out", "package.json"), "utf8"))).toMatchObject({
      name: "@me/small",
      type: "module",
    });
    expect(existsSync(join(folder.path, "out", "of-an-older-build.wgsl"))).toBe(false);
    expect(readdirSync(folder.path).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("leaves alone a folder that holds anything else, and a file", async () => {
    mkdirSync(join(folder.path, "mine"));
    writeFileSync(join(folder.path, "mine", "thesis.txt"), "years of work");
    const { status, stderr } = await build("mine");
    expect([status, stderr.trim().split("\n")]).toEqual([
      1,
      [
        expect.stringMatching(/^note: /),
        `error: ${join(folder.path, "mine")} holds files that are no build of modc`,
        "  hint: name an empty folder, or one that does not exist",
      ],
    ]);
    expect(readdirSync(join(folder.path, "mine"))).toEqual(["thesis.txt"]);
    expect((await build("small.mod")).stderr).toMatch(/^error: cannot write .*small\.mod: it is a file\n$/m);
  });

  it("leaves nothing behind, and an older build as it was, where weights do not fit", async () => {
    const other = folder.file(
      "other.mod",
      "model Other() { weight v: f32[3] = ones\n forward(x: f32[B, T <= 4, 3]) -> f32[B, T, 3] { x * v } }\n",
    );
    const before = readFileSync(join(folder.path, "out", "manifest.json"), "utf8");
    const { status, stderr } = await modc(["build", other, "--weights", weights, "-o", join(folder.path, "out")]);
    expect(status).toBe(1);
    expect(stderr).toContain('missing: "v", f32[3]');
    expect(readFileSync(join(folder.path, "out", "manifest.json"), "utf8")).toBe(before);
    expect(readdirSync(folder.path).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("says that a tokenizer has more tokens than the model", async () => {
    const tokenizer = folder.file("tokenizer.json", SENTENCE_PIECE);
    const small = ["examples/moby.mod", "--set", "vocab=100", "--set", "dim=32", "--set", "depth=1"];
    const own = join(folder.path, "small.safetensors");
    expect((await modc(["init", ...small, "-o", own])).status).toBe(0);
    const { status, stderr } = await modc([
      "build",
      ...small,
      "--weights",
      own,
      "--tokenizer",
      tokenizer,
      "-o",
      join(folder.path, "of-another"),
    ]);
    expect([status, stderr]).toEqual([
      0,
      "warning: the tokenizer has 274 tokens, the model 100: is it that of another model?\n",
    ]);
  });

  it.each([
    [["--shard", "10"], "--shard 10: a shard has at least 1024 bytes"],
    [["--shard", "big"], '--shard "big" is no number of bytes'],
    [["--name", "../up"], '--name "../up" is no name of a package'],
  ])("refuses %j", async (args, message) => {
    const { status, stderr } = await build("never", ...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });
});
