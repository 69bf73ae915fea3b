// Passes on random and deep graphs, and the patterns they are written in.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { routingRules } from "../../../src/compiler/passes/fuse-routing.js";
import { optimize, passes, stages } from "../../../src/compiler/passes/index.js";
import { any, commuted, of, op, rule } from "../../../src/compiler/passes/rewrite.js";
import { skipRules } from "../../../src/compiler/passes/skip-branch.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { isFloat } from "../../../src/ground/base/dtype.js";
import { deepGraph, graphFrom, instructions } from "./random-graphs.js";
import { cases, seedOf } from "../../soak.js";
import { processorTime } from "../../processor-time.js";

const inputs = new Map([
  ["x", { shape: [3, 4, 4], data: Array.from({ length: 48 }, (_, i) => (i % 7 === 0 ? -0 : Math.sin(i * 1.7))) }],
  ["s", { shape: [3, 4], data: Array.from({ length: 12 }, (_, i) => Math.sin(i * 0.9)) }],
  ["y", { shape: [4, 6], data: Array.from({ length: 24 }, (_, i) => (i % 5 === 0 ? 0 : Math.cos(i * 2.3))) }],
]);
function weightsOf(
  graph: Graph,
): ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: readonly number[] }> {
  const weights = nodesOf(graph).filter((n) => isOp(n, "weight"));
  return new Map(
    weights.map(({ attrs: { path, shape } }) => [
      path,
      {
        shape,
        data: Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.cos(i * 1.3 + path.length)),
      },
    ]),
  );
}
const run = (graph: Graph, weights = weightsOf(graph)): readonly (readonly number[])[] => {
  const { outputs } = evaluate(graph, { inputs, weights, lengths: [4, 0, 2] });
  return [...outputs.values()].map((t) => [...t.data]);
};

/** Skipping is not masking: a row that is skipped stays −0 where adding 0 would make it 0. */
const unsigned = (results: readonly (readonly number[])[]): readonly (readonly number[])[] =>
  results.map((values) => values.map((v) => (v === 0 ? 0 : v)));

/**
 * Whether every value on the way is finite: 0 · ∞ in a skipped row is NaN when it is masked, and 1 / −0 tells zeros
 * apart.
 */
function staysFinite(graph: Graph): boolean {
  const floats = nodesOf(graph).filter((n) => n.types.length === 1 && isFloat(typeOf(n).dtype));
  const outputs = floats.map((node, i) => ({
    name: `n${i}`,
    role: "result" as const,
    node,
    shape: typeOf(node).shape,
    packing: null,
  }));
  return run({ ...graph, outputs }, weightsOf(graph)).every((values) => values.every(Number.isFinite));
}

/** Rules that random graphs do not lead to: their fixtures alone show them. */
const RARE: ReadonlySet<string> = new Set(["starts-of-join-on-host", "starts-of-above-on-host", "sum-of-entries"]);

describe("passes", () => {
  const fired = new Set<string>();
  for (const pass of passes)
    it(`${pass.name} keeps random graphs sound and every bit of their results`, () => {
      let changed = 0;
      fc.assert(
        fc.property(instructions, (program) => {
          const before = graphFrom(program);
          const skips = pass.name === "skip-branch";
          if (skips) fc.pre(staysFinite(before));
          const after = pass.run(before, (name) => fired.add(name));
          expect(verify(after, ops)).toEqual([]);
          const wanted = run(before);
          const found = run(after, weightsOf(before));
          // Vitest's toEqual tells −0 from 0, and NaN equals NaN.
          expect(skips ? unsigned(found) : found).toEqual(skips ? unsigned(wanted) : wanted);
          if (after !== before) changed++;
        }),
        { seed: seedOf(42), numRuns: Math.max(300, cases(300)) },
      );
      expect(changed).toBeGreaterThan(25);
    });
  it("fire each of their rules there", () => {
    const rules = [...skipRules, ...routingRules({ axes: [] })].map((r) => r.name).filter((name) => !RARE.has(name));
    const whole = ["chosen-rows-only", "put-of-put", "statistics-before-gather", "merge-products", "same-node"];
    expect([...rules, ...whole].filter((name) => !fired.has(name))).toEqual([]);
  });

  it("leave nothing to do for a second run", () => {
    fc.assert(
      fc.property(instructions, (program) => {
        const once = optimize(graphFrom(program), { verify: true });
        expect(printGraph(optimize(once))).toBe(printGraph(once));
      }),
      { seed: seedOf(7), numRuns: cases(200) },
    );
  });

  it("share equal nodes, but no barrier", () => {
    const text = (kind: string): string => `graph "two"
axis B = batch
input "y" = %0 [4, 6]
%0 = input {"name":"y","dtype":"f32","shape":[4,6]}()
%1 = ${kind}(%0)
%2 = ${kind}(%0)
%3 = add(%1, %2)
result "output" = %3 [4, 6]`;
    const left = (kind: string): number =>
      nodesOf(optimize(parseGraph(text(kind), ops))).filter((n) => n.op === kind).length;
    expect([left("tanh"), left("barrier")]).toEqual([1, 2]);
  });

  it("stop after the one that is named, and say which rules fired", () => {
    const graph = deepGraph(2);
    const fired: string[] = [];
    const after = optimize(graph, { after: "simplify", trace: (pass, name) => fired.push(`${pass}: ${name}`) });
    expect(fired).toContain("simplify: matmul-of-transposed");
    expect(fired.some((f) => f.startsWith("cse"))).toBe(false);
    expect(printGraph(after)).not.toContain("permute");
    expect(optimize(graph, { after: "lower" })).toBe(graph);
    expect(() => optimize(graph, { after: "nonsense" })).toThrow(`there is no pass "nonsense": ${stages.join(", ")}`);
  });

  it("run over 60,000 nodes in a few seconds", { tags: "long" }, () => {
    const graph = deepGraph(9000);
    expect(nodesOf(graph).length).toBeGreaterThan(60_000);
    const seconds = processorTime();
    const after = optimize(graph);
    expect(seconds()).toBeLessThan(10);
    expect(nodesOf(after).length).toBe(9000 * 4 + 2);
  });
});

describe("patterns", () => {
  const x = any("x");

  it("bind a name used twice to the same node only", () => {
    const doubled = rule("doubled", {
      match: op("add", [x, x]),
      build: ({ x: node }, emit) =>
        emit("mul", [node, emit("constant", [], { value: 2, dtype: "f32", shape: [] })], {}),
    });
    const graph = graphFrom([
      [1, 1, 1, 0],
      [0, 1, 1, 0],
      [1, 1, 3, 0],
    ]);
    const sums = nodesOf(graph).filter((n) => n.op === "add");
    const emit = (): never => {
      throw new Error("built");
    };
    expect(sums.length).toBe(2);
    expect(() => doubled.rewrite(sums[0]!, emit)).toThrow("built");
    expect(doubled.rewrite(sums[1]!, emit)).toBeNull();
  });

  it("try both orders of an operator that commutes, and forget what the first try bound", () => {
    const graph = parseGraph(
      `graph "sum"
axis B = batch
input "y" = %0 [4]
%0 = input {"name":"y","dtype":"f32","shape":[4]}()
%1 = constant {"value":2,"dtype":"f32","shape":[]}()
%2 = mul(%1, %0)
%3 = sub(%0, %2)
result "output" = %3 [4]`,
      ops,
    );
    const found = new Map<string, Node>();
    const root = graph.outputs[0]!.node;
    expect(op("sub", [any("a"), commuted("mul", any("a"), of("constant", "c"))]).test(root, found)).toBe(true);
    expect([found.get("a")?.op, found.get("c")?.op]).toEqual(["input", "constant"]);
    expect(op("sub", [any("a"), commuted("mul", any("b"), of("weight", "c"))]).test(root, new Map())).toBe(false);
  });

  it("do not compile with a misspelt capture", () => {
    rule("misspelt", {
      match: op("neg", [x]),
      // @ts-expect-error: the pattern captures x, not y
      build: ({ y }) => y,
    });
  });
});
