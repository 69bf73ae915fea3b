// The built library: modules for the exports of package.json, few in number, that import no other package.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../tools/cli/spawn.js";

const folder = join(root, "dist", "lib");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, { readonly default?: string }>>;
  readonly browser: Readonly<Record<string, false>>;
  readonly dependencies: Readonly<Record<string, string>>;
};
const entries = Object.values(manifest.exports).flatMap((entry) => entry.default ?? []);
const IMPORT = /^(?:import|export)\s[^"'(]*?from\s*"([^"]+)"|^import\s*"([^"]+)"/gm;
/** An import of a package, also below the first source; the text of embedded modules is one long line each. */
const ANY_PACKAGE = /^(?:import\s[^"'\n]*|\} )from "([^".][^"]*)";$|\bimport\("([^".][^"]*)"\)/gm;

/** What a module imports when it is loaded. */
function importsOf(name: string): readonly string[] {
  // Imports come before the first source: what looks like one further down is text.
  const head = readFileSync(join(folder, name), "utf8").split(/^\/\/ (?:src|grammar|node_modules)\//m)[0]!;
  return [...head.matchAll(IMPORT)].map(([, from, bare]) => (from ?? bare)!);
}

function loadedWith(entry: string): { readonly files: ReadonlySet<string>; readonly others: readonly string[] } {
  const files = new Set([entry]);
  const others: string[] = [];
  for (const name of files)
    for (const path of importsOf(name))
      if (path.startsWith("./")) files.add(path.slice(2));
      else others.push(path);
  return { files, others };
}

describe("the bundled library", () => {
  it("has every module that package.json exports, and those that a page leaves out", () => {
    expect(entries.length).toBeGreaterThan(5);
    for (const path of [...entries, ...Object.keys(manifest.browser)])
      expect(existsSync(join(root, path)), path).toBe(true);
  });

  it("loads the compiler from a few modules, and no package", () => {
    const { files, others } = loadedWith("index.js");
    expect(others).toEqual([]);
    expect(files.size).toBeLessThan(24);
  });

  it("loads the runtime without the compiler, and nothing of Node", () => {
    const { files, others } = loadedWith("runtime.js");
    expect(others).toEqual([]);
    const text = [...files].map((name) => readFileSync(join(folder, name), "utf8")).join("");
    expect(text).not.toContain("// src/language/check/check.ts\n");
    expect(text.length).toBeLessThan(400_000);
  });

  it("loads the server as a service worker can: no compiler, nothing of Node, the router alone", () => {
    const { files, others } = loadedWith("serve.js");
    expect(others).toEqual([]);
    const text = [...files].map((name) => readFileSync(join(folder, name), "utf8")).join("");
    expect(text).not.toContain("// src/language/check/check.ts\n");
    const asked = [...text.matchAll(/^import [^"\n]* from "([^".][^"]*)";$/gm)].map((m) => m[1]);
    expect(asked).toEqual(["hono"]);
  });

  it("asks for no package that users do not install", () => {
    const packages = readdirSync(folder)
      .filter((name) => name.endsWith(".js"))
      .flatMap((name) => [...readFileSync(join(folder, name), "utf8").matchAll(ANY_PACKAGE)])
      .map(([, from, dynamic]) => (from ?? dynamic)!)
      .filter((path) => !path.startsWith("node:") && !builtinModules.includes(path));
    expect(new Set(packages)).toEqual(new Set(["webgpu", ...Object.keys(manifest.dependencies)]));
  });
});
