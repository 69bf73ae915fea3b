// Runs `modc build` in a user's way: written files, refusals, and untouched files of the user.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeFolder } from "../../../src/tools/build/folder-node.js";
import { sealed } from "../../../src/generation/packaged/manifest.js";
import { SENTENCE_PIECE } from "../../models/tokenizer/files.js";
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
      "note: the package runs the model, but does not generate: a model that generates has an input u32[B, T], its " +
      "tokens; the input x of this one is f32[B, T, 8]\n";
    expect([first.status, first.stderr]).toEqual([0, note]);
    expect(first.stdout).toMatch(
      /out: package small of Small, runs \(infer\): \d+ files, [\d.]+ KiB, weights in 1 shard\n$/,
    );
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
    expect(readdirSync(folder.path).filter((name) => name.startsWith("."))).toEqual([]);
  });

  describe("over an earlier build", () => {
    const at = (...names: readonly string[]): string => join(folder.path, "over", ...names);
    const read = (...names: readonly string[]): string => readFileSync(at(...names), "utf8");
    const json = (): Record<string, unknown> => JSON.parse(read("package.json")) as Record<string, unknown>;

    it("keeps files that are not of the build, and removes files that the new build lacks", async () => {
      expect((await build("over", "--shard", "1024", "--name", "@me/small")).status).toBe(0);
      for (const name of [".git", "src", "kernels"]) mkdirSync(at(name), { recursive: true });
      for (const name of [".git/HEAD", "src/app.ts", "kernels/mine.wgsl"]) writeFileSync(at(name), "mine");
      const kernels = readdirSync(at("kernels"));
      const sums = folder.file(
        "sums.mod",
        "model Sums() {\n  forward(x: f32[B, T <= 4, 3]) -> f32[B, T] { sum(x, axis: 2) }\n}\n",
      );
      const other = await modc(["build", sums, "--weights", weights, "-o", at()]);
      expect([other.status, existsSync(at("weights"))]).toEqual([1, true]); // the weights are of another model
      const none = folder.file("none.safetensors", Buffer.from("\x02\0\0\0\0\0\0\0{}"));
      expect((await modc(["build", sums, "--weights", none, "-o", at()])).status).toBe(0);
      for (const name of [".git/HEAD", "src/app.ts", "kernels/mine.wgsl"]) expect(read(name)).toBe("mine");
      expect(existsSync(at("weights"))).toBe(false);
      const left = readdirSync(at("kernels"));
      expect(left.filter((name) => kernels.includes(name))).toEqual(["mine.wgsl"]);
      const { files } = JSON.parse(read("manifest.json")) as { files: { name: string; sha256: string }[] };
      for (const { name, sha256 } of files)
        expect(
          createHash("sha256")
            .update(readFileSync(at(name)))
            .digest("hex"),
          name,
        ).toBe(sha256);
      expect(readdirSync(at()).filter((name) => name.startsWith("."))).toEqual([".git"]);
      expect(json()).toMatchObject({ name: "@me/small", description: expect.stringContaining("sums.mod") as string });
    });

    it("keeps the version, and what was added to package.json; --version sets the version", async () => {
      const edited = { ...json(), version: "1.4.2", license: "MIT", files: [...(json()["files"] as string[]), "src"] };
      const exports = { ...(edited as { exports?: object }).exports, "./app": "./src/app.js" };
      writeFileSync(at("package.json"), JSON.stringify({ ...edited, exports }));
      expect((await build("over")).status).toBe(0);
      expect(json()).toMatchObject({
        name: "@me/small",
        version: "1.4.2",
        license: "MIT",
        files: expect.arrayContaining(["src", "weights", "index.js"]) as string[],
        exports: { ".": { default: "./index.js" }, "./app": "./src/app.js" },
      });
      expect((await build("over", "--version", "2.0.0-rc.1", "--name", "small")).status).toBe(0);
      expect(json()).toMatchObject({ name: "small", version: "2.0.0-rc.1", license: "MIT" });
    });

    it("refuses files of the build that have changed, by name, and changes nothing", async () => {
      const readme = read("README.md");
      const before = read("manifest.json");
      writeFileSync(at("README.md"), "# Mine\n");
      rmSync(at("index.d.ts"));
      const { status, stderr } = await build("over");
      expect([status, stderr]).toEqual([
        1,
        `error: ${at()}: README.md changed since modc wrote it; the changes would be lost\n` +
          "  hint: move it away and try again, or name another folder\n",
      ]);
      expect([read("README.md"), read("manifest.json"), existsSync(at("index.d.ts"))]).toEqual([
        "# Mine\n",
        before,
        false,
      ]);
      writeFileSync(at("README.md"), readme);
      writeFileSync(at("package.json"), JSON.stringify({ ...json(), type: "commonjs" }));
      expect((await build("over")).stderr).toContain(
        'package.json has "commonjs" as type, but a package needs "module"',
      );
      writeFileSync(at("package.json"), JSON.stringify({ ...json(), type: "module" }));
      expect((await build("over")).status).toBe(0);
    });

    it("refuses a file that no build wrote where the new one has a file", async () => {
      mkdirSync(at("kernels", "x"), { recursive: true });
      const manifest = read("manifest.json");
      writeFileSync(at("weights", "00001.bin"), "mine");
      const wide = ["--set", "n=32"];
      const own = join(folder.path, "wide.safetensors");
      expect((await modc(["init", model, ...wide, "-o", own])).status).toBe(0);
      const words = ["build", model, ...wide, "--weights", own, "-o", at(), "--shard", "1024"];
      const refused = await modc(words);
      expect([refused.status, refused.stderr]).toEqual([
        1,
        expect.stringContaining("over has weights/00001.bin, not written by modc, which would be lost"),
      ]);
      expect([read("weights", "00001.bin"), read("manifest.json")]).toEqual(["mine", manifest]);
      rmSync(at("weights", "00001.bin"));
      expect((await modc(words)).status).toBe(0);
    });

    it("moves everything back if a file cannot be moved", async () => {
      const readme = read("README.md");
      const names = (readdirSync(at(), { recursive: true }) as string[]).toSorted((a, b) => (a < b ? -1 : 1));
      const marks = new Map(["README.md", "index.js"].map((name) => [name, "the same"]));
      let lost = "";
      const markOf = (): string => {
        rmSync(lost, { force: true }); // between the check and the moves
        return "the same";
      };
      await expect(
        writeFolder(at(), { marks, markOf, merged: new Set(), record: "manifest.json" }, async ({ fresh, write }) => {
          lost = join(fresh, "x", "z.txt");
          for (const name of ["README.md", "a/b/new.txt", "x/z.txt"]) await write(name, Buffer.from("new"));
        }),
      ).rejects.toThrow(/cannot write/);
      expect(read("README.md")).toBe(readme);
      expect((readdirSync(at(), { recursive: true }) as string[]).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(names);
    });

    it("refuses a manifest that names files outside the folder", async () => {
      const text = read("manifest.json");
      const fields = text.slice(0, text.indexOf(',\n"digest"')).replace('"name":"index.js"', '"name":"../small.mod"');
      writeFileSync(at("manifest.json"), await sealed(fields));
      expect((await build("over")).stderr).toContain("manifest.json was not written by a build of modc");
      expect(existsSync(model)).toBe(true);
    });
  });

  it("leaves alone a folder that holds anything else, and a file", async () => {
    mkdirSync(join(folder.path, "mine"));
    writeFileSync(join(folder.path, "mine", "thesis.txt"), "years of work");
    const { status, stderr } = await build("mine");
    expect([status, stderr.trim().split("\n")]).toEqual([
      1,
      [
        `error: ${join(folder.path, "mine")} has files that are not from a build of modc`,
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
      "warning: the tokenizer has 274 tokens, the model 100: is it another model's?\n",
    ]);
  });

  it("puts the chosen chat template into the package", async () => {
    const tokenizer = folder.file("tokenizer.json", SENTENCE_PIECE);
    const small = ["examples/moby.mod", "--set", "vocab=274", "--set", "dim=32", "--set", "depth=1"];
    const own = join(folder.path, "chatting.safetensors");
    expect((await modc(["init", ...small, "-o", own])).status).toBe(0);
    const args = ["build", ...small, "--weights", own, "--tokenizer", tokenizer, "--chat-template"];
    const output = join(folder.path, "chatting");
    const { status, stderr } = await modc([...args, "chatml", "-o", output]);
    expect([status, stderr]).toEqual([
      0,
      "note: the tokenizer has no token <|im_end|>, which ends answers in the template chatml: pass it to each " +
        "call as a stop string\n",
    ]);
    expect(readFileSync(join(output, "tokenizer", "chat_template.jinja"), "utf8")).toContain("<|im_start|>");
    const unknown = await modc([...args, "chatmk", "-o", join(folder.path, "never")]);
    expect(unknown.stderr).toContain("there is no chat template chatmk: neither a file nor a known name");
    expect(unknown.status).toBe(1);
  });

  it.each([
    [["--shard", "10"], "--shard 10: a shard has at least 1024 bytes"],
    [["--shard", "big"], '--shard "big" is not a number of bytes'],
    [["--chat-template", "chatml"], "--chat-template: the package has no tokenizer"],
    [["--name", "../up"], '--name "../up" is not a valid package name'],
  ])("refuses %j", async (args, message) => {
    const { status, stderr } = await build("never", ...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });

  it("names sources from the model's folder, not from where it was built", async () => {
    const names = (text: string): readonly string[] => [
      ...new Set([...text.matchAll(/"file":"([^"]*)"/g)].map(([, file]) => file!)),
    ];
    expect((await build("named")).status).toBe(0);
    expect(names(readFileSync(join(folder.path, "named", "program.json"), "utf8"))).toEqual(["small.mod"]);
    expect(names((await modc(["compile", model])).stdout)).toEqual(["small.mod"]);
  });

  it("refuses --max-batch for a page, and for a model that does not generate", async () => {
    const page = ["--single-file", join(folder.path, "page.html")];
    const refused = await modc(["build", model, "--weights", weights, "--max-batch", "4", ...page]);
    expect([refused.status, refused.stderr]).toEqual([
      2,
      "error: --max-batch is for several callers, but the page of --single-file has one\n" +
        "  hint: build the page separately, without --max-batch\n",
    ]);
    const { status, stderr } = await build("batch", "--max-batch", "4");
    expect([status, stderr]).toEqual([
      1,
      "error: --max-batch: the model does not generate: a model that generates has an input u32[B, T], its tokens; " +
        "the input x of this one is f32[B, T, 8]\n  hint: leave out --max-batch\n",
    ]);
    expect(existsSync(join(folder.path, "batch"))).toBe(false);
  });
});
