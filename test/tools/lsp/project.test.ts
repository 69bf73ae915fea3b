// The texts of a workspace without a client: what is read, what is kept, and what is let go.
import { expect, it } from "vitest";
import { CostHints } from "../../../src/tools/lsp/costs.js";
import type { Host } from "../../../src/language/editor/host.js";
import { Project, type FoundModel } from "../../../src/language/editor/project.js";

const hostOf = (read: Host["read"]): Host => ({
  read,
  refusal: () => null,
  files: () => [],
  libraryUri: () => null,
  libraryFile: () => null,
});

it("modules that share modules are read once each", () => {
  const files = new Map<string, string>();
  for (let level = 0; level <= 10; level++)
    for (const name of ["a", "b"]) {
      const imports = ["a", "b"].map(
        (n) => `import { ${n.toUpperCase()}${level + 1} } from "./${n}${level + 1}.mod"\n`,
      );
      const block = `block ${name.toUpperCase()}${level}() {}\n`;
      files.set(`file:///p/${name}${level}.mod`, (level < 10 ? imports.join("") : "") + block);
    }
  let reads = 0;
  const project = new Project(hostOf((uri) => (reads++, files.get(uri) ?? null)));
  const names = project.names("file:///p/a0.mod")!;
  expect([...names.imported.keys()]).toEqual(["A1", "B1"]);
  expect(reads).toBeLessThan(3 * files.size);
  files.set("file:///p/b10.mod", "block B10() {}\nblock New() {}\n");
  project.looksAgain();
  expect(project.names("file:///p/b10.mod")!.exports.has("New")).toBe(true);
});

it("a text that is closed leaves no trees of what was typed in it, and no other project has them", () => {
  const host = hostOf(() => null);
  const [project, other] = [new Project(host), new Project(host)];
  const file = project.open("file:///p/a.mod", "block A() {}\n", 1);
  const tree = project.probed(file, "block B() {}\n");
  expect(project.probed(file, "block B() {}\n")).toBe(tree);
  expect(other.probed(file, "block B() {}\n")).not.toBe(tree);
  project.close(file);
  expect(project.probed(file, "block B() {}\n")).not.toBe(tree);
});

it("a model whose costs cannot be computed throws once, not whenever they are asked for", () => {
  class Broken extends Project {
    override modelOf(root: string): FoundModel | null {
      const found = super.modelOf(root);
      return found && { ...found, model: new Proxy(found.model, { get: () => expect.fail("it is lowered") }) };
    }
  }
  const project = new Broken(hostOf(() => null));
  const file = project.open("file:///m.mod", "model M() {\n  forward(x: f32[B, 4]) -> f32[B, 4] { x }\n}\n", 1);
  const costs = new CostHints(project);
  const sizes = { batch: 1, length: null };
  expect(() => costs.compute(file, sizes)).toThrow("it is lowered");
  expect(costs.isCurrent(file, sizes)).toBe(true);
  expect(costs.in(file, 0, 99)).toEqual([]);
});

it("nothing is kept of a file that is gone", () => {
  const files = new Map([["file:///p/a.mod", "block A() {}\n"]]);
  const project = new Project(hostOf((uri) => files.get(uri) ?? null));
  const [file, text] = [...files][0]!;
  const kept = (): readonly unknown[] => [project.parsed(file), project.names(file)];
  const before = kept();
  project.looksAgain();
  expect(kept().map((one, i) => one === before[i])).toEqual([true, true]);
  // It is found to be gone by a request, then the client tells so.
  for (const tell of [() => project.names(file), () => project.changedOnDisk(file)]) {
    const [tree, names] = kept();
    files.delete(file);
    project.looksAgain();
    tell();
    files.set(file, text);
    project.looksAgain();
    expect(project.parsed(file)).not.toBe(tree);
    expect(project.names(file)).not.toBe(names);
  }
});
