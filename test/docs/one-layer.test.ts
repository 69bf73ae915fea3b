// The pages that follow one layer from its text to its kernels show the output of commands: each block is the output of
// the command named before it, with lines left out.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "../tools/cli/in-process.js";
import { fencesOf, pageText, wordsOf } from "./fences.js";

/** The section of each page, with the number of its commands. */
const SECTIONS = [
  { page: "docs/architecture.md", heading: "## One layer, from text to kernels", count: 2 },
  { page: "src/compiler/passes/README.md", heading: "## One layer", count: 3 },
  { page: "src/compiler/schedule/dispatches.md", heading: "## One layer", count: 1 },
] as const;

const sections = SECTIONS.map(({ page, heading, count }) => {
  const text = pageText(page);
  const start = text.indexOf(`${heading}\n`);
  if (start < 0) throw new Error(`${page} has no section ${heading}`);
  const end = text.indexOf("\n## ", start);
  const section = text.slice(start, end < 0 ? text.length : end);
  const commands = [...section.matchAll(/`modc ((?:ir|plan) [^`]+)`/g)].map((m) => m[1]!);
  return { page, count, commands, fences: fencesOf(page, section) };
});
/** The model, which the first page shows. */
const [source] = sections[0]!.fences;

const folder = mkdtempSync(join(tmpdir(), "modc-one-layer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the model is shown once", () => {
  expect(source!.language).toBe("mod");
  expect(sections.flatMap(({ fences }) => fences.filter(({ language }) => language === "mod"))).toEqual([source]);
});

describe.each(sections)("$page", ({ count, commands, fences }) => {
  const shown = fences.filter(({ language }) => language === "");

  it("shows a block for each command", () => {
    expect(commands.length).toBe(count);
    expect(shown.length).toBe(count);
  });

  it.each(commands.map((command, i) => ({ command, block: shown[i]!.code })))(
    "modc $command",
    async ({ command, block }) => {
      const file = join(folder, "routed.mod");
      writeFileSync(file, source!.code);
      const words = wordsOf(command).map((word) => (word === "routed.mod" ? file : word));
      const { status, stdout, stderr } = await run(words);
      expect(status).toBe(0);
      const printed = `${stderr}\n${stdout}`.split("\n").map(withoutPlace);
      // In order; a line follows the one before it, unless … stands between them.
      let [at, skips] = [0, true];
      for (const line of block.trimEnd().split("\n")) {
        if (line === "…") {
          skips = true;
          continue;
        }
        const found = printed.indexOf(line, at);
        expect(found, line).toBeGreaterThanOrEqual(0);
        if (!skips) expect(found, `directly before it: ${line}`).toBe(at);
        [at, skips] = [found + 1, false];
      }
    },
  );
});

/** A node without the comment that has its call path and place. */
const withoutPlace = (line: string): string => line.replace(/ {2}\/\/ .*$/, "");
