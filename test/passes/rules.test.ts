// Each rewrite rule alone: where it fires, what it makes, what it spares.
import { describe, expect, it } from "vitest";
import { parseGraph } from "../../src/ir/parse.js";
import { printGraph } from "../../src/ir/print.js";
import { ops } from "../../src/ops/index.js";
import { rewrite } from "../../src/passes/rewrite.js";
import { simplifyRules } from "../../src/passes/simplify.js";
import { graphOf, ruleCases } from "./rules.js";

/** Node lines only. */
const nodes = (printed: string): string =>
  printed
    .split("\n")
    .filter((l) => /^(%|result)/.test(l))
    .join("\n");

describe("rewrite rules", () => {
  it("each has a case here", () => {
    expect(ruleCases.map((c) => c.rule).sort()).toEqual(simplifyRules.map((r) => r.name).sort());
  });
  for (const { rule, fires, spares } of ruleCases) {
    it(`${rule} fires where it should, and prints as recorded`, async () => {
      const before = parseGraph(graphOf(fires), ops);
      const own = simplifyRules.filter((r) => r.name === rule);
      const fired: string[] = [];
      const after = rewrite(before, own, (name) => fired.push(name));
      expect(fired).toContain(rule);
      const text = `before\n${nodes(printGraph(before, { place: null }))}\n\nafter\n${nodes(printGraph(after, { place: null }))}\n`;
      await expect(text).toMatchFileSnapshot(`fixtures/${rule}.txt`);
    });
    for (const [i, lines] of (spares ?? []).entries())
      it(`${rule} spares what only looks alike (${i})`, () => {
        const before = parseGraph(graphOf(lines), ops);
        const own = simplifyRules.filter((r) => r.name === rule);
        expect(rewrite(before, own, null)).toBe(before);
      });
  }
});
