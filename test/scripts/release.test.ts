// What a release is held to: versions that agree, a changelog that has it, a tarball with what users need and no more.
// @module-tag long
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../tools/cli/spawn.js";
import { faultsOf, packedOf } from "../../scripts/release-check.mjs";

const text = (name: string): string => readFileSync(join(root, name), "utf8");
const files = [
  "package.json",
  "README.md",
  "LICENSE",
  "CHANGELOG.md",
  "dist/lib/index.js",
  "dist/src/compiler/index.d.ts",
];
const packed = { size: 5e6, files: [...files, "dist/src/cli/main.js"].map((path) => ({ path })) };
const right = {
  version: "1.2.3",
  manifest: { version: "1.2.3", repository: "github:modc/modc" },
  citation: "title: modc\nversion: 1.2.3\n",
  changelog: "# Changelog\n\n## Not released\n\n## 1.2.3, 2026-12-24\n",
  packed,
};

describe("a release", () => {
  it("is right where everything agrees", () => {
    expect(faultsOf(right)).toEqual([]);
    expect(faultsOf({ ...right, version: "1.2.3-rc.1" })).toHaveLength(3);
  });

  it.each([
    [{ version: "1.2" }, "1.2 is no version"],
    [{ manifest: { ...right.manifest, version: "1.2.2" } }, "package.json has the version 1.2.2"],
    [{ manifest: { ...right.manifest, private: true } }, "package.json says that the package is private"],
    [{ manifest: { version: "1.2.3" } }, "package.json names no repository"],
    [{ citation: "version: 1.2.2\n" }, "CITATION.cff has the version 1.2.2"],
    [{ changelog: "## 1.2.3, not released\n" }, 'CHANGELOG.md has no "## 1.2.3, <date>"'],
    [{ packed: { ...packed, size: 9e6 } }, "the tarball has 9000000 bytes"],
    [{ packed: { ...packed, files: packed.files.slice(1) } }, "the tarball lacks package.json"],
    [{ packed: { ...packed, files: [...packed.files, { path: "test/soak.ts" }] } }, "the tarball has test/soak.ts"],
  ])("is refused with %j", (fault, message) => {
    expect(faultsOf({ ...right, ...fault }).join("\n")).toContain(message);
  });

  it("has no script that npm would run, or warn of, where it is installed", () => {
    const { scripts } = JSON.parse(text("package.json")) as { readonly scripts: Readonly<Record<string, string>> };
    const run = ["preinstall", "install", "postinstall", "prepare"];
    expect(run.filter((name) => Object.hasOwn(scripts, name))).toEqual([]);
  });

  it("of this checkout lacks a date and a repository alone", () => {
    const manifest = JSON.parse(text("package.json")) as { readonly version: string };
    const [citation, changelog] = [text("CITATION.cff"), text("CHANGELOG.md")];
    const faults = faultsOf({ version: manifest.version, manifest, citation, changelog, packed: packedOf(root) });
    for (const fault of faults) expect(fault).toMatch(/^(?:package\.json names no repository|CHANGELOG\.md has no)/);
  });
});
