// The reference of built-in functions: complete, and `docs/builtins.md` is what it says. `UPDATE=1` writes the file
// anew.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { builtinDocs, builtinReference } from "./builtin-reference.js";
import { builtins } from "../../../src/language/check/builtins/index.js";

const file = fileURLToPath(new URL("../../../docs/builtins.md", import.meta.url));

describe("the reference of built-in functions", () => {
  it("describes every function: a signature that bears its name and parameters, and a meaning", () => {
    expect(builtinDocs().map((d) => d.name)).toEqual([...builtins.keys()]);
    for (const { name, signatures, meaning } of builtinDocs()) {
      expect(signatures.length, name).toBeGreaterThan(0);
      for (const s of signatures) expect(s.startsWith(`${name}(`), s).toBe(true);
      expect(meaning, name).toMatch(/\.$/);
      for (const p of builtins.get(name)?.params ?? [])
        if (p.name !== "pattern")
          expect(signatures.join(" "), `${name}: ${p.name}`).toMatch(new RegExp(`\\b${p.name}\\b`));
    }
  });

  it("is what docs/builtins.md holds", () => {
    if (process.env["UPDATE"]) writeFileSync(file, builtinReference());
    expect(readFileSync(file, "utf8")).toBe(builtinReference());
  });
});
