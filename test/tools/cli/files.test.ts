// Writing a file: what was there stays until the new text is whole, and what the file is otherwise stays as it is.
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { dataIn } from "../../../src/tools/cli/train/training.js";
import { ensureWritable, writeText } from "../../../src/tools/cli/source/files.js";
import { withIo } from "../../../src/tools/cli/terminal/io.js";
import { scratch } from "../train/folder.js";

const folder = scratch();
afterAll(() => folder.remove());
const path = (...names: readonly string[]): string => join(folder.path, ...names);
const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform === "win32")("a file that is written again", () => {
  it("keeps its mode whatever the mask of the process, and its other names", () => {
    const file = folder.file("shared.txt", "old");
    chmodSync(file, 0o664);
    const mask = process.umask(0o077);
    writeText(file, "new");
    process.umask(mask);
    expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual(["new", 0o664]);
    linkSync(file, path("name.txt"));
    writeText(file, "newer");
    expect([readFileSync(path("name.txt"), "utf8"), statSync(file).nlink]).toEqual(["newer", 2]);
    expect(readdirSync(folder.path).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it.skipIf(!isRoot)("keeps its owner and its group", () => {
    const file = folder.file("theirs.txt", "old");
    chownSync(file, 12345, 12346);
    chmodSync(file, 0o640);
    writeText(file, "new");
    const { uid, gid, mode } = statSync(file);
    expect([readFileSync(file, "utf8"), uid, gid, mode & 0o777]).toEqual(["new", 12345, 12346, 0o640]);
  });

  it("is where links lead, be it there already or not", () => {
    mkdirSync(path("far", "deep"), { recursive: true });
    symlinkSync(path("far", "deep"), path("near"));
    symlinkSync(join("..", "made.txt"), path("far", "deep", "link")); // beside `deep`, not beside `near`
    symlinkSync(join("near", "link"), path("first"));
    for (const text of ["one", "two"]) {
      ensureWritable(path("first"));
      writeText(path("first"), text);
      expect(readFileSync(path("far", "made.txt"), "utf8")).toBe(text);
    }
    expect(readlinkSync(path("first"))).toBe(join("near", "link"));
    symlinkSync(path("gone", "x"), path("astray"));
    for (const write of [ensureWritable, (at: string) => writeText(at, "")])
      expect(() => write(path("astray"))).toThrow(`cannot write ${path("astray")}: there is no folder ${path("gone")}`);
  });

  it.skipIf(isRoot)("is refused beforehand as it is afterwards: a file or a folder that may not be changed", () => {
    const file = folder.file("fixed.txt", "old");
    chmodSync(file, 0o444);
    mkdirSync(path("fixed"));
    symlinkSync(path("fixed", "file"), path("into"));
    chmodSync(path("fixed"), 0o555);
    for (const at of [file, path("into")])
      for (const write of [ensureWritable, (to: string) => writeText(to, "")])
        expect(() => write(at)).toThrow(`cannot write ${at}: permission denied`);
  });
});

describe("the text on standard input", () => {
  const text = "call me";
  const kept = (at: string): Promise<string> =>
    withIo({ stdin: () => new TextEncoder().encode(text) }, async () => dataIn(at, "-", undefined));

  it("is kept as a file, and again where one of its name is not whole", async () => {
    const file = await kept(path("kept"));
    writeFileSync(file, "call");
    expect([await kept(path("kept")), readFileSync(file, "utf8"), readdirSync(path("kept")).length]).toEqual([
      file,
      text,
      1,
    ]);
    rmSync(file);
  });

  it("is told of where it cannot be kept", async () => {
    const file = folder.file("file", "");
    await expect(kept(join(file, "x"))).rejects.toMatchObject({ name: "UserError", code: "cannot-write", exit: 1 });
    await expect(kept(file)).rejects.toMatchObject({ name: "UserError", code: "cannot-write" });
    expect(existsSync(join(file, "x"))).toBe(false);
  });
});
