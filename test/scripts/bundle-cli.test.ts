// The built command line: chunks that are loaded when they are needed.
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { modcProcess, root } from "../tools/cli/spawn.js";

const folder = join(root, "dist", "src", "cli");
const IMPORT = /^(?:import|export)\s[^"'(]*?from\s*"([^"]+)"|^import\s*"([^"]+)"/gm;

/** The chunks, and the packages, that are loaded with these chunks, by static imports. */
function loadedWith(names: readonly string[]): {
  readonly chunks: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
} {
  const [chunks, packages] = [new Set(names), new Set<string>()];
  for (const name of chunks) {
    // Imports come before the first source: what looks like one further down is text.
    const head = readFileSync(join(folder, name), "utf8").split(/^\/\/ (?:src|grammar|node_modules)\//m)[0]!;
    for (const [, from, bare] of head.matchAll(IMPORT)) {
      const path = (from ?? bare)!;
      if (path.startsWith("./")) chunks.add(path.slice(2));
      else if (!path.startsWith("node:") && !builtinModules.includes(path)) packages.add(path);
    }
  }
  return { chunks, packages };
}

const sizeOf = (chunks: ReadonlySet<string>): number =>
  [...chunks].reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);

/** The chunk of a source file; the first line of each source in a chunk is a comment with its path. */
function chunkOf(source: string): string {
  const found = readdirSync(folder).filter(
    (name) => name.endsWith(".js") && readFileSync(join(folder, name), "utf8").includes(`\n// ${source}\n`),
  );
  expect(found, source).toHaveLength(1);
  return found[0]!;
}

describe("the bundled command line", () => {
  it("loads for --version and --help little beside commander, and nothing of the compiler", () => {
    const { chunks, packages } = loadedWith(["main.js", chunkOf("src/tools/cli/run-cli.ts")]);
    expect([...packages]).toEqual([]);
    expect(sizeOf(chunks)).toBeLessThan(260_000);
    expect([...chunks]).not.toContain(chunkOf("src/language/check/check.ts"));
  });

  it("loads for a command what that command needs", () => {
    const explain = loadedWith([chunkOf("src/tools/cli/commands/explain.ts")]).chunks;
    expect(explain).not.toContain(chunkOf("src/ground/embedded.ts"));
    const check = loadedWith([chunkOf("src/tools/cli/commands/check.ts")]).chunks;
    expect(check).not.toContain(chunkOf("src/compiler/codegen/emit.ts"));
    for (const command of ["commands/check", "run/run", "generate/generate", "train/train"])
      expect(loadedWith([chunkOf(`src/tools/cli/${command}.ts`)]).chunks, command).not.toContain(
        chunkOf("src/ground/bundled.ts"),
      );
  });

  it("imports no package but Dawn's: what others have at other places cannot be taken for its own", () => {
    const all = readdirSync(folder).filter((name) => name.endsWith(".js"));
    expect([...loadedWith(all).packages]).toEqual([]);
    const dynamic = all.flatMap((name) =>
      [...readFileSync(join(folder, name), "utf8").matchAll(/\bimport\("([^."][^"]*)"\)/g)].map(([, path]) => path),
    );
    expect(new Set(dynamic)).toEqual(new Set(["webgpu"]));
  });

  it("loads nothing by a path from the place of its source, which a bundle has not", () => {
    // Each such path was looked at: the depth of dist/src/cli is that of src/tools/cli, and the others look upwards.
    const places = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
      .filter(
        (name) =>
          name.endsWith(".ts") &&
          name !== join("ground", "bundled.ts") &&
          /\bimport\.meta\.url\b(?!\),)/.test(readFileSync(join(root, "src", name), "utf8")),
      )
      .toSorted();
    expect(places).toEqual([
      "runtime/device/dawn-node.ts",
      "runtime/device/swiftshader-node.ts",
      "tools/build/package.ts", // the text of a file of a package
      "tools/cli/demo.ts",
      "tools/cli/new/new.ts",
      "tools/cli/program/hardware.ts", // a script in the bundle's folder
      "tools/cli/tree/version.ts",
    ]);
  });

  it("shows with MODC_DEBUG=1 lines of the sources", async () => {
    const { status, stderr } = await modcProcess(["check", "no-such-file.mod"], { env: { MODC_DEBUG: "1" } });
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/^ +at .*src\/tools\/cli\/source\/files\.ts:\d+:\d+\)$/m),
    ]);
    expect(stderr).not.toMatch(/chunk-/);
  });

  it("carries the licences of the libraries in it", () => {
    const text = readFileSync(join(folder, "LICENSES.txt"), "utf8");
    for (const name of ["chevrotain", "commander", "lodash-es", "@huggingface/jinja", "@huggingface/tokenizers"])
      expect(text).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+: (?:MIT|Apache-2\\.0)\n\n.*`, "m"));
  });
});
