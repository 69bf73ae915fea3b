// What the documentation says in code and links holds: models parse or check, commands exist, files are where they are said to be.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { check } from "../src/check/check.js";
import { formatDiagnostics } from "../src/diagnostics/format.js";
import { parse } from "../src/syntax/parse.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pages = [
  "README.md",
  "CHANGELOG.md",
  "examples/README.md",
  "kernels/README.md",
  ...readdirSync(join(root, "docs"))
    .filter((f) => f.endsWith(".md"))
    .map((f) => `docs/${f}`),
];
const text = (page: string): string => readFileSync(join(root, page), "utf8");
const blocks = (page: string, language: string): string[] =>
  [...text(page).matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"))].map((m) => m[1]!);

describe.each(pages)("%s", (page) => {
  it("links to files that are there", () => {
    const links = [...text(page).matchAll(/\]\(([^)#]+?)(?:#[^)]*)?\)/g)].map((m) => m[1]!).filter((to) => !/^https?:/.test(to));
    expect(links.filter((to) => !existsSync(join(root, dirname(page), to)))).toEqual([]);
  });

  it("shows models that check, and blocks that parse", () => {
    for (const source of blocks(page, "mod")) {
      const file = { file: page, text: source };
      const { diagnostics } = /^model /m.test(source) ? check(file, { phase: "infer", read: () => null }) : parse(file);
      expect(formatDiagnostics(diagnostics, { sources: [file] })).toBe("");
    }
  });

  it("names commands and examples that exist", () => {
    const commands = readdirSync(join(root, "src", "cli", "commands")).map((f) => f.replace(/\.ts$/, ""));
    for (const code of [...blocks(page, "sh"), ...(text(page).match(/`[^`\n]+`/g) ?? [])]) {
      for (const [, command] of code.matchAll(/\bnpx modc ([a-z]+)/g)) expect(commands).toContain(command);
      for (const [, example] of code.matchAll(/\b(examples\/[\w.-]+)/g)) expect(existsSync(join(root, example!)), example).toBe(true);
    }
  });
});

it("the README shows the library's MoD as it is", () => {
  const body = (source: string): string =>
    source
      .slice(source.indexOf("block MoD("))
      .replaceAll(/\s*\/\/.*$/gm, "")
      .replaceAll(/\s+/g, "")
      .replace(",){", "){");
  const [shown] = blocks("README.md", "mod");
  expect(body(shown!)).toBe(body(readFileSync(join(root, "src", "std", "mod.mod"), "utf8")));
});
