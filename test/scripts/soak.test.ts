// The report of `npm run soak`: sections keep their last result.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { sectionsOf, sectionText, withSections } from "../../scripts/soak-report.mjs";

const section = (date: string, result: string): string =>
  sectionText({
    date,
    command: "npm run soak -- training 20",
    node: "20",
    processor: "2 × any",
    seed: 7,
    rows: [{ what: "kills", cases: "20 kills", result, seconds: 3 }],
  });

describe("the soak's report", () => {
  const first = withSections(
    "",
    new Map([
      ["training", section("2026-01-02", "1 passed")],
      ["language", section("2026-01-02", "2 passed")],
    ]),
    ["language", "training"],
  );
  it("has the sections in their order, with date, command, seed and a line for each trial", () => {
    expect([...sectionsOf(first).keys()]).toEqual(["language", "training"]);
    expect(sectionsOf(first).get("language")).toBe(section("2026-01-02", "2 passed"));
    expect(first).toContain("2026-01-02, `npm run soak -- training 20`, Node 20, 2 × any, seed offset 7.");
    expect(first).toContain("| kills | 20 kills | 1 passed | 3 s |");
  });
  it("keeps what other sections said, byte for byte, when one is run again", () => {
    const second = withSections(first, new Map([["training", section("2026-02-03", "0 passed, 1 failed")]]), [
      "language",
      "training",
    ]);
    expect(sectionsOf(second).get("training")).toBe(section("2026-02-03", "0 passed, 1 failed"));
    expect(second.slice(0, second.indexOf("## training"))).toBe(first.slice(0, first.indexOf("## training")));
    expect(withSections(second, new Map(), ["language", "training"])).toBe(second);
  });
  it("of the repository reads and writes as it is", () => {
    const kept = readFileSync(new URL("../../bench/soak.md", import.meta.url), "utf8");
    expect(withSections(kept, new Map(), [...sectionsOf(kept).keys()])).toBe(kept);
    expect(sectionsOf(kept).size).toBeGreaterThan(0);
  });
  it.each([["nonsense"], ["0"], ["training", "1.5"], ["2", "3"], ["-4"]])(
    "is not begun by a call it does not understand: %s %s",
    { tags: "long" },
    (...args) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/soak.mjs", ...args], {
        encoding: "utf8",
      });
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^error: .*\nusage: /);
    },
  );
});
