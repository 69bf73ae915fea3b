// Setting a checkout up: missing packages, and the search for a driver.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hasDriver, missingPackages, type LockedPackage } from "../../scripts/setup.mjs";

const machine = { os: "linux", cpu: "x64", libc: "glibc" };
const at = (version: string, more: LockedPackage = {}): LockedPackage => ({
  version,
  integrity: `sha512-${version}`,
  ...more,
});

const wanted: Readonly<Record<string, LockedPackage>> = {
  "": { dependencies: { a: "1" }, devDependencies: { tool: "1" }, optionalDependencies: { shader: "1" } },
  "node_modules/a": at("1.0.0", { dependencies: { b: "2" } }),
  "node_modules/a/node_modules/b": at("2.0.0"),
  "node_modules/tool": at("1.0.0", {
    optionalDependencies: { "tool-linux": "1", "tool-musl": "1", "tool-darwin": "1" },
  }),
  "node_modules/tool-linux": at("1.0.0", { optional: true, os: ["linux"], cpu: ["x64"], libc: ["glibc"] }),
  "node_modules/tool-musl": at("1.0.0", { optional: true, os: ["linux"], cpu: ["x64"], libc: ["musl"] }),
  "node_modules/tool-darwin": at("1.0.0", { optional: true, os: ["darwin"], dependencies: { "of-darwin": "1" } }),
  "node_modules/of-darwin": at("1.0.0", { optional: true }),
  "node_modules/shader": at("1.0.0", { optional: true, dependencies: { "of-shader": "1" } }),
  "node_modules/of-shader": at("1.0.0", { optional: true }),
};
const foreign = ["node_modules/tool-musl", "node_modules/tool-darwin", "node_modules/of-darwin"];
const without = (...paths: readonly string[]): Readonly<Record<string, LockedPackage>> =>
  Object.fromEntries(
    Object.entries(wanted).filter(([path]) => path !== "" && !foreign.includes(path) && !paths.includes(path)),
  );

describe("dependencies", () => {
  it("are all there without those of other machines", () =>
    expect(missingPackages(wanted, without(), machine)).toEqual({ needed: false, optional: false }));

  it.each(["node_modules/shader", "node_modules/of-shader", "node_modules/tool-linux"])(
    "%s is optional, and missing",
    (path) => expect(missingPackages(wanted, without(path), machine)).toEqual({ needed: false, optional: true }),
  );

  it.each(["node_modules/a", "node_modules/a/node_modules/b", "node_modules/tool"])(
    "%s is needed, and missing",
    (path) => expect(missingPackages(wanted, without(path), machine)).toMatchObject({ needed: true }),
  );

  it("of another version are missing", () => {
    expect(missingPackages(wanted, { ...without(), "node_modules/a": at("1.0.1") }, machine)).toEqual({
      needed: true,
      optional: false,
    });
    expect(missingPackages(wanted, { ...without(), "node_modules/shader": at("0.9.0") }, machine)).toEqual({
      needed: false,
      optional: true,
    });
  });

  it("of this checkout are complete, by npm's own record", () => {
    const packages = (path: string): Readonly<Record<string, LockedPackage>> =>
      (
        JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")) as {
          packages: Record<string, LockedPackage>;
        }
      ).packages; // npm's own format
    expect(missingPackages(packages("package-lock.json"), packages("node_modules/.package-lock.json")).needed).toBe(
      false,
    );
  });
});

describe("a driver", () => {
  it("is a manifest that exists, not the name of one", () => {
    const folder = mkdtempSync(join(tmpdir(), "modc-setup-"));
    const manifest = join(folder, "driver.json");
    expect(hasDriver({ VK_DRIVER_FILES: manifest })).toBe(false);
    expect(hasDriver({ VK_DRIVER_FILES: folder })).toBe(false);
    writeFileSync(manifest, "{}");
    for (const named of [manifest, folder, `/nonexistent:${manifest}`])
      expect(hasDriver({ VK_DRIVER_FILES: named })).toBe(true);
    expect(hasDriver({ VK_ICD_FILENAMES: manifest })).toBe(true);
    expect(hasDriver({ VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: manifest })).toBe(false);
    rmSync(folder, { recursive: true });
  });
});
