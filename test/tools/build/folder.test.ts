// The files of a folder where moving them fails half-way: afterwards, the old files are unchanged, or kept in a folder
// next to it.
import { createHash } from "node:crypto";
import fs, { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeFolder } from "../../../src/tools/build/folder-node.js";

const real = { rename: fs.renameSync, rmdir: fs.rmdirSync };
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "modc-folder-"))));
afterEach(() => {
  fs.renameSync = real.rename;
  fs.rmdirSync = real.rmdir;
  syncBuiltinESMExports();
  rmSync(folder, { recursive: true, force: true });
});

const fault = (code: string): Error => Object.assign(new Error(`${code}: by the test`), { code });

/** Lets renames of these numbers, counted from 1, fail with a code. */
function failing(codes: Readonly<Record<number, string>>): void {
  let n = 0;
  fs.renameSync = (from, to) => {
    const code = codes[++n];
    if (code !== undefined) throw fault(code);
    real.rename(from, to);
  };
  syncBuiltinESMExports();
}

const markOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Writes new files over those of the folder, which an earlier call wrote. */
function replace(names: readonly string[], earlier = ["a", "b", "c"]): Promise<void> {
  const marks = new Map<string, string>();
  for (const name of earlier) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), `old ${name}`);
    marks.set(name, markOf(join(folder, name)));
  }
  return writeFolder(folder, { marks, markOf, merged: new Set(), record: "record" }, async ({ write }) => {
    for (const name of names) await write(name, new TextEncoder().encode(`new ${name}`));
  });
}

const textsIn = (path: string, names: readonly string[]): readonly string[] =>
  names.map((name) => readFileSync(join(path, name), "utf8"));

describe("a folder whose files cannot be replaced", () => {
  it("has its files back", async () => {
    failing({ 4: "EIO" });
    await expect(replace(["a", "b", "c", "record"])).rejects.toThrow(`cannot write ${folder}: the disk failed`);
    expect(readdirSync(folder).sort()).toEqual(["a", "b", "c"]);
    expect(textsIn(folder, ["a", "b", "c"])).toEqual(["old a", "old b", "old c"]);
  });

  it("loses none of them where one cannot be moved back", async () => {
    // Two renames for each file, of which the fourth fails; then three backwards: b, the new a, a.
    failing({ 4: "EIO", 5: "EACCES" });
    const error = await replace(["a", "b", "c", "record"]).catch((own: Error) => own);
    expect(error).toMatchObject({
      name: "FolderError",
      message: `cannot write ${folder}: the disk failed; b could not be moved back: permission denied`,
      cause: { errors: [{ code: "EIO" }, { code: "EACCES" }] },
    });
    const kept = /the previous files are in (\S+)$/.exec((error as { hint?: string }).hint ?? "")![1]!;
    expect(textsIn(kept, ["b"])).toEqual(["old b"]);
    expect(textsIn(folder, ["a", "c"])).toEqual(["old a", "old c"]);
  });

  it("is written all the same where an empty folder in it stays", async () => {
    fs.rmdirSync = (path) => {
      if (path === join(folder, "mounted")) throw fault("EBUSY");
      real.rmdir(path);
    };
    syncBuiltinESMExports();
    await replace(["a", "record"], ["a", "mounted/b"]);
    expect(textsIn(folder, ["a", "record"])).toEqual(["new a", "new record"]);
    expect(readdirSync(join(folder, "mounted"))).toEqual([]);
  });
});
