// Each rewrite rule alone: graphs that change, with the result, and graphs that stay unchanged.
import { describe, expect, it } from "vitest";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { routingRules } from "../../../src/compiler/passes/fuse-routing.js";
import { passes } from "../../../src/compiler/passes/index.js";
import { rewrite, type Rule, type Trace } from "../../../src/compiler/passes/rewrite.js";
import { simplifyRules } from "../../../src/compiler/passes/simplify.js";
import { skipRules } from "../../../src/compiler/passes/skip-branch.js";
import { graphOf, ruleCases, type RuleCase } from "./rules.js";

/** Node lines only. */
const nodes = (printed: string): string =>
  printed
    .split("\n")
    .filter((l) => /^(%|result)/.test(l))
    .join("\n");

const rulesFor = (graph: Pick<Graph, "axes">): readonly Rule[] => [
  ...simplifyRules,
  ...skipRules,
  ...routingRules(graph),
];

/** The graph with a rule applied, or the pass that makes it. */
function apply({ rule, pass }: RuleCase, graph: Graph, trace: Trace | null): Graph {
  if (pass === undefined)
    return rewrite(
      graph,
      rulesFor(graph).filter((r) => r.name === rule),
      trace,
    );
  const found = passes.find((p) => p.name === pass);
  if (!found) throw new Error(`there is no pass ${pass}`);
  return found.run(graph, trace);
}

describe("rewrite rules", () => {
  it("each has a case here", () => {
    const alone = ruleCases.filter((c) => c.pass === undefined);
    expect(alone.map((c) => c.rule).sort()).toEqual(
      rulesFor({ axes: [] })
        .map((r) => r.name)
        .sort(),
    );
  });
  for (const ruleCase of ruleCases) {
    const { rule, fires, spares } = ruleCase;
    it(`${rule} fires where it should, and prints as recorded`, async () => {
      const before = parseGraph(graphOf(fires), ops);
      const fired: string[] = [];
      const after = apply(ruleCase, before, (name) => fired.push(name));
      expect(fired).toContain(rule);
      const text =
        `before\n${nodes(printGraph(before, { place: null }))}\n\nafter\n` +
        `${nodes(printGraph(after, { place: null }))}\n`;
      await expect(text).toMatchFileSnapshot(`fixtures/${rule}.txt`);
    });
    for (const [i, lines] of (spares ?? []).entries())
      it(`${rule} spares what only looks alike (${i})`, () => {
        const before = parseGraph(graphOf(lines), ops);
        const fired: string[] = [];
        apply(ruleCase, before, (name) => fired.push(name));
        expect(fired).not.toContain(rule);
      });
  }
});
