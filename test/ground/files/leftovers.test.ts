import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { leftover, removeLeftovers } from "../../../src/ground/files/leftovers-node.js";

it("temporary files and folders are removed at once while they are temporary, and what became of them is not", () => {
  const folder = mkdtempSync(join(tmpdir(), "modc-leftovers-"));
  try {
    const [file, inner, kept] = [join(folder, "a.tmp"), join(folder, "b.tmp"), join(folder, "c")];
    const gone = [leftover(file), leftover(inner), leftover(join(folder, "never made")), leftover(kept)];
    writeFileSync(file, "x");
    mkdirSync(join(inner, "deep"), { recursive: true });
    writeFileSync(kept, "x");
    gone.pop()!();
    removeLeftovers();
    expect([file, inner, kept].map((path) => existsSync(path))).toEqual([false, false, true]);
    for (const end of gone) end();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
