// Values and weights that exceed a binding are cut: the meaning stays, and no step binds more than the limit.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { assertSound } from "../../../src/compiler/ir/verify.js";
import type { OpAttrs } from "../../../src/compiler/ir/vocabulary.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { parseProgram, printProgram } from "../../../src/runtime/program/serialize.js";
import { evaluate, type Evaluation } from "../../../src/compiler/reference/evaluate.js";
import { memoryOf } from "../../../src/runtime/index.js";
import { memoryAt } from "../../../src/runtime/run/memory.js";
import { parseAxes } from "../../../src/runtime/steps/sizes.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { MOST_CLASSES, rangesOf } from "../../../src/compiler/schedule/split/cuts.js";
import { split } from "../../../src/compiler/schedule/split/split.js";
import { randomModel } from "../../random-models.js";
import { random } from "../../random.js";
import { cases as casesOf, seedOf } from "../../soak.js";
import { graphOf as graphFromText } from "./graphs.js";
import { FEED_FORWARD, MODELS, NARROW, SMALL, VOCABULARY } from "./vocabularies.js";
import { expectClose } from "../../close.js";

const graphOf = (source: string, entry: "forward" | "objective"): Graph => {
  const { graph, diagnostics, sources } = compile(source, { entry, verify: true });
  if (!graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return graph;
};

/** The same tokens, targets and weights for any graph of a model. */
function evaluated(graph: Graph): Evaluation {
  const rng = random(7);
  const data = (least: number): Float64Array =>
    Float64Array.from({ length: 24 }, () => rng.below(VOCABULARY - least) + least);
  const inputs = new Map(
    graph.inputs.map(({ name, node }) => [name, { shape: [2, 12], data: data(node.attrs.dtype === "i32" ? -1 : 0) }]),
  );
  const weights = new Map(
    [
      ["embed", [VOCABULARY, 32]],
      ["embed.table", [VOCABULARY, 32]],
      ["mix.weight", [32, 32]],
      ["mix.bias", [32]],
      ["norm.scale", [32]],
      ["norm.weight", [32]],
      ["bias", [VOCABULARY]],
    ].map(([path, shape]) => [path as string, filled(shape as number[], path as string)] as const),
  );
  const head = [...nodesOf(graph)].some((n) => isOp(n, "matmul") && n.attrs.transposed)
    ? [VOCABULARY, 32]
    : [32, VOCABULARY];
  weights.set("head", filled(head, "head"));
  return evaluate(graph, { inputs, weights, lengths: [12, 7] });
}
function filled(shape: number[], path: string): { shape: number[]; data: Float64Array } {
  const rng = random(path.length);
  return { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal() * 0.3) };
}

const cases = Object.entries(MODELS).flatMap(([name, source]) =>
  (["forward", "objective"] as const).map((entry) => [name, entry, source] as const),
);

describe.each(cases)("%s: %s", (_name, entry, source) => {
  const graph = graphOf(source, entry);
  const parts = split(graph, NARROW.limits);

  it("means the same in parts", () => {
    expect(parts).not.toBe(graph);
    assertSound(parts, ops, "split");
    const [whole, cut] = [evaluated(graph), evaluated(parts)];
    for (const [name, { shape, data }] of whole.outputs) {
      const got = cut.outputs.get(name)!;
      expect(got.shape).toEqual(shape);
      // Sums over all classes run part by part: the last digits of 64 bits.
      expectClose(got.data, data, (v) => 1e-12 * Math.max(1, Math.abs(v)), name);
    }
  });

  it("has no weight, and binds no slot, beyond the limit", () => {
    for (const node of nodesOf(parts))
      if (isOp(node, "weight")) expect(4 * node.attrs.shape.reduce((a, b) => a * b, 1)).toBeLessThanOrEqual(SMALL);
    const { program } = compile(source, { entry, target: NARROW });
    const { slots } = memoryAt(program!, parseAxes(program!), {
      extents: new Map([
        ["B", 2],
        ["T", 12],
      ]),
      lengths: new Map(),
      live: new Map(),
    });
    expect(slots.length).toBeGreaterThan(0);
    for (const bytes of slots) expect(bytes).toBeLessThanOrEqual(SMALL);
  });

  it("prints and parses, as a graph and as a program", () => {
    const text = printGraph(parts);
    expect(printGraph(parseGraph(text, ops))).toBe(text);
    const { program } = compile(source, { entry, target: NARROW });
    expect(parseProgram(printProgram(program!))).toEqual(program);
  });
});

describe("parts", () => {
  it("are equal, whole panels where they are large, and cover everything once", () => {
    expect(rangesOf(10, 4).map((r) => r.stop - r.start)).toEqual([4, 4, 2]);
    expect(rangesOf(128_256, 32_768).map((r) => r.stop - r.start)).toEqual([32_256, 32_256, 32_256, 31_488]);
    const rng = random(1);
    for (let i = 0; i < 500; i++) {
      const [size, most] = [1 + rng.below(100_000), 1 + rng.below(20_000)];
      const ranges = rangesOf(size, most);
      let next = 0;
      for (const { start, stop } of ranges) {
        expect(start).toBe(next);
        expect(stop - start).toBeGreaterThan(0);
        expect(stop - start).toBeLessThanOrEqual(most);
        next = stop;
      }
      expect(next).toBe(size);
    }
  });

  it("of a hidden layer go through its gate, and are put together once", () => {
    const { graph } = compile(FEED_FORWARD, { set: { hidden: 1024 } });
    const nodes = nodesOf(split(graph!, NARROW.limits));
    expect(nodes.filter((n) => isOp(n, "matmul"))).toHaveLength(2 + 2 + 2);
    expect(nodes.filter((n) => isOp(n, "silu"))).toHaveLength(2);
    expect(nodes.filter((n) => isOp(n, "concat") && n.types[0]!.shape.at(-1) === 1024)).toHaveLength(1);
  });

  it("of what fits there are none", () => {
    const graph = graphOf(MODELS["one table for both ends"]!, "forward");
    expect(split(graph, PORTABLE.limits)).toBe(graph);
  });

  it("of logits that only a loss reads there are some whatever the limits, and their memory is one part's", () => {
    const classes = 3 * MOST_CLASSES;
    const { program } = compile(MODELS["one table for both ends"]!, { entry: "objective", set: { vocab: classes } });
    const { activations } = memoryOf(program!, { max: { B: 2, T: 12 } });
    expect(activations).toBeGreaterThan(24 * 4 * MOST_CLASSES);
    expect(activations).toBeLessThan(24 * 4 * MOST_CLASSES * 1.1);
  });

  it("reduce as the whole would, equals and NaN in several of them included", () => {
    // Columns 1100 and 2100 are the largest of row 0, equal; x · w is 1 elsewhere in row 1. Divided by d, column 1500
    // and 2500 are 0 / 0.
    const body = (divided: string): string => `%w = weight {"path":"w","dtype":"f32","shape":[4,3000]}()
%d = weight {"path":"d","dtype":"f32","shape":[3000]}()
%p = matmul {"transposed":false}(%x, %w)
${divided}
%best = argmax {"axis":1,"keep":false}(%z)
%most = reduce_max {"axes":[1],"keep":true}(%z)
%least = reduce_min {"axes":[0,1],"keep":false}(%z)
result "best" = %best [B, T] packed T 0 1
result "most" = %most [B, T, 1] packed T 0 1
result "least" = %least []`;
    const data = Float64Array.from({ length: 12_000 }, (_, i) =>
      i === 1100 || i === 2100 ? 9 : i % 3000 === 1500 || i % 3000 === 2500 ? 0 : 1,
    );
    const d = Float64Array.from({ length: 3000 }, (_, i) => (i === 1500 || i === 2500 ? 0 : 1));
    const weights = new Map([
      ["w", { shape: [4, 3000], data }],
      ["d", { shape: [3000], data: d }],
    ]);
    const inputs = new Map([["x", { shape: [1, 3, 4], data: Float64Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0) }]]);
    const run = (divided: string): { readonly cut: number; readonly results: readonly (readonly number[])[] } => {
      const graph = graphFromText(body(divided));
      const parts = split(graph, { ...PORTABLE.limits, storageBindingBytes: 16_384 });
      assertSound(parts, ops, "split");
      const [whole, cut] = [graph, parts].map((g) =>
        [...evaluate(g, { inputs, weights }).outputs.values()].map((t) => [...t.data]),
      );
      expect(cut).toEqual(whole);
      return { cut: nodesOf(parts).filter((n) => isOp(n, "matmul")).length, results: cut! };
    };
    const plain = run("%z = neg(%p)\n".replace("neg(%p)", "mul(%p, %p)"));
    expect(plain.cut).toBeGreaterThan(1);
    expect(plain.results[0]).toEqual([1100, 0, 0]);
    expect(run("%z = div(%p, %d)").results[0]).toEqual([1500, 1500, 1500]);
  });
});

describe("random models under limits that almost every weight exceeds", () => {
  it("mean the same in parts, and can be scheduled", () => {
    let cut = 0;
    fc.assert(
      fc.property(
        randomModel,
        fc.constantFrom("infer", "train" as const),
        fc.integer({ min: 1, max: 1e6 }),
        (model, phase, seed) => {
          const { graph, diagnostics, sources } = compile(model.source, { phase, verify: true });
          if (!graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
          const limits = { ...PORTABLE.limits, storageBindingBytes: 64 };
          const parts = split(graph, limits);
          assertSound(parts, ops, "split");
          schedule(graph, { ...PORTABLE, limits });
          if (parts === graph) return;
          cut++;
          const rng = random(seed);
          const names = new Set(graph.inputs.map((i) => i.name));
          const inputs = new Map(
            model.inputs
              .filter((m) => names.has(m.name))
              .map((i) => {
                const shape = i.shape.map((s) => (s === "B" ? 2 : s === "T" ? Math.min(5, model.context) : Number(s)));
                const count = shape.reduce((a, b) => a * b, 1);
                return [
                  i.name,
                  {
                    shape,
                    data: Float64Array.from({ length: count }, () =>
                      i.below === null ? rng.normal() : rng.below(i.below),
                    ),
                  },
                ];
              }),
          );
          const weights = new Map(weightsOf(graph).map((attrs) => [attrs.path, filled([...attrs.shape], attrs.path)]));
          const [whole, own] = [graph, parts].map((g) => evaluate(g, { inputs, weights }));
          for (const [name, { data }] of whole!.outputs) {
            const got = own!.outputs.get(name)!.data;
            const most = data.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
            data.forEach((v, i) =>
              expect(
                Object.is(got[i], v) || Math.abs(got[i]! - v) <= 1e-9 * most,
                `${name}[${i}]: ${got[i]} against ${v}`,
              ).toBe(true),
            );
          }
        },
      ),
      { numRuns: casesOf(25), seed: seedOf(7), endOnFailure: true },
    );
    expect(cut).toBeGreaterThan(casesOf(12));
  });
});

const weightsOf = (graph: Graph): readonly OpAttrs["weight"][] =>
  nodesOf(graph).flatMap((n) => (isOp(n, "weight") ? [n.attrs] : []));
