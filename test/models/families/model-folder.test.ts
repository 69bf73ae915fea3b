// Folders that appear whole or not at all: what is never replaced.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { expectFree, writeFresh } from "../../../src/models/made/model-folder-node.js";

const root = mkdtempSync(join(tmpdir(), "modc-folder-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a new folder", () => {
  it("takes the place of an empty one, and of none into which something has come meanwhile", async () => {
    const output = join(root, "out");
    mkdirSync(output);
    await writeFresh(`${output}/`, async (folder) => writeFileSync(join(folder, "a"), "1"));
    expect(readdirSync(output)).toEqual(["a"]);
    const busy = join(root, "busy");
    mkdirSync(busy);
    const fill = async (folder: string): Promise<void> => {
      writeFileSync(join(folder, "a"), "1");
      writeFileSync(join(busy, "mine"), "kept");
    };
    await expect(writeFresh(busy, fill)).rejects.toThrow(/busy cannot be replaced: something was added to it/);
    expect(readFileSync(join(busy, "mine"), "utf8")).toBe("kept");
    expect(readdirSync(root).sort()).toEqual(["busy", "out"]);
  });

  it("is not the current one", () => {
    for (const output of [".", "./", process.cwd()])
      expect(() => expectFree(output)).toThrow("is the current folder, which cannot be replaced");
  });
});
