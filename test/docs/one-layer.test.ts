// docs/architecture.md follows one layer from its text to its kernels: each block is what the command named before it
// prints, with lines left out.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { run } from "../tools/cli/in-process.js";
import { fencesOf, pageText, wordsOf } from "./fences.js";

const page = pageText("docs/architecture.md");
const start = page.indexOf("## One layer, from text to kernels");
const section = page.slice(start, page.indexOf("\n## ", start));
const [source, ...shown] = fencesOf("docs/architecture.md", section);
const commands = [...section.matchAll(/`modc ((?:ir|plan) [^`]+)`/g)].map((m) => m[1]!);

const folder = mkdtempSync(join(tmpdir(), "modc-one-layer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("shows a block for each command", () => {
  expect(source!.language).toBe("mod");
  expect(commands.length).toBe(4);
  expect(shown.length).toBe(commands.length);
});

it.each(commands.map((command, i) => ({ command, block: shown[i]!.code })))(
  "modc $command",
  async ({ command, block }) => {
    const file = join(folder, "routed.mod");
    writeFileSync(file, source!.code);
    const { status, stdout, stderr } = await run(wordsOf(command).map((word) => (word === "routed.mod" ? file : word)));
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

/** A node without the comment that has its call path and place. */
const withoutPlace = (line: string): string => line.replace(/ {2}\/\/ .*$/, "");
