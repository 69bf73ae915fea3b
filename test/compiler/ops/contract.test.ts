// The contract of the operator table: every record does what its other parts say, on every sample.
import { describe, expect, it } from "vitest";
import { once } from "../../../src/ground/base/once.js";
import { nodesOf, type Node } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { inputTypes } from "../../../src/compiler/ir/typing.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { Cost } from "../../../src/compiler/ops/define.js";
import { helpersIn, ops, wgslHelpers } from "../../../src/compiler/ops/index.js";
import { runSizes, toTensor } from "../../../src/compiler/reference/inputs.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { resolveSizes } from "../../../src/ground/size/axes.js";
import type { Case } from "./bench.js";
import { allSamples, caseOf, named, samples } from "./samples.js";

const costOf = <K extends OpName>(node: Node<K>): Cost =>
  ops[node.op].cost(inputTypes(node.op, node.inputs), node.attrs, node.types);

/** Sizes of the sample's run; counts that only a run tells are bounds. */
function sizesOf({ graph, options }: Case) {
  const given = new Map(
    graph.inputs.map((i) => [i.name, toTensor(i.name, options.inputs.get(i.name)!, i.node.attrs.dtype)]),
  );
  return resolveSizes(
    graph.axes,
    runSizes(graph, given, {
      lengths: options.lengths ?? null,
      live: new Map(graph.live.map((l) => [l.name, l.default])),
      extents: new Map(),
    }),
  );
}

describe.each(Object.keys(samples))("%s", (op) => {
  const own = allSamples
    .filter((s) => s.op === op)
    .map(({ sample }) => {
      const made = caseOf(op as OpName, sample); // a key of the table
      return { name: sample.name, sample, made, outputs: once(() => evaluate(made.graph, made.options).outputs) };
    });
  const ofEach = (check: (sample: (typeof own)[number]) => void) => (): void => {
    for (const sample of own) named(sample.name, () => check(sample));
  };

  it("has samples of distinct names", () => {
    expect(own.length).toBeGreaterThan(0);
    expect(new Set(own.map((s) => s.name)).size).toBe(own.length);
  });

  it(
    "is sound, and holds the operator",
    ofEach(({ made }) => {
      expect(verify(made.graph, ops)).toEqual([]);
      expect(nodesOf(made.graph).map((n) => n.op)).toContain(op);
    }),
  );

  it(
    "evaluates to what was worked out, in the types inferred",
    ofEach(({ outputs, sample }) => {
      // The evaluator itself holds every result to its inferred type.
      expect(outputs().size).toBeGreaterThan(0);
      sample.expected?.forEach((values, i) => expectClose([...outputs().get(`y${i}`)!.data], values));
    }),
  );

  it(
    "prints and parses to the same",
    ofEach(({ made, outputs }) => {
      const text = printGraph(made.graph);
      const parsed = parseGraph(text, ops);
      expect(printGraph(parsed)).toBe(text);
      expect(evaluate(parsed, made.options).outputs).toEqual(outputs());
    }),
  );

  it(
    "costs a finite number of operations and bytes",
    ofEach(({ made }) => {
      const sizes = sizesOf(made);
      for (const node of nodesOf(made.graph)) {
        const { flops, bytes } = costOf(node);
        for (const value of [sizes.number(flops), sizes.number(bytes)]) {
          expect(Number.isFinite(value)).toBe(true);
          expect(value).toBeGreaterThanOrEqual(0);
        }
      }
    }),
  );

  it(
    "ignores what lies beyond the end of a sequence",
    ofEach(({ made, outputs }) => {
      const { graph, options } = made;
      const lengths = options.lengths;
      if (!lengths) return;
      const noisy = new Map(
        graph.inputs.map((input) => [
          input.name,
          input.packing
            ? withNoise(
                toTensor(input.name, options.inputs.get(input.name)!, input.node.attrs.dtype),
                input.packing,
                lengths as readonly number[], // of the bench, along one axis
              )
            : options.inputs.get(input.name)!,
        ]),
      );
      expect(evaluate(graph, { ...options, inputs: noisy }).outputs).toEqual(outputs());
    }),
  );
});

describe("pointwise expressions", () => {
  const nodes = allSamples.flatMap(({ op, sample }) =>
    ops[op].lower.kind === "pointwise" ? nodesOf(caseOf(op, sample).graph).filter((n) => n.op === op) : [],
  );
  const wgslOf = <K extends OpName>(node: Node<K>): string => {
    const { lower } = ops[node.op];
    if (lower.kind !== "pointwise") throw new Error(`${node.op} is not pointwise`);
    return lower.wgsl(
      node.inputs.map((_, i) => `ARG${i}`),
      node.attrs,
      inputTypes(node.op, node.inputs),
    );
  };

  it("name each argument once", () => {
    for (const node of nodes)
      node.inputs.forEach((_, i) => {
        const count = wgslOf(node).split(`ARG${i}`).length - 1;
        expect(count, `${node.op}: ${wgslOf(node)}`).toBe(1);
      });
  });

  it("call only helpers that exist, and every helper is called", () => {
    const called = new Set<string>();
    for (const node of nodes) {
      const text = wgslOf(node);
      const helpers = helpersIn(text);
      helpers.forEach((h) => called.add(h));
      for (const [, name] of text.matchAll(/\b(modc_\w+)\(/g)) expect(helpers).toContain(name);
      // A helper comes after all helpers that it calls.
      helpers.forEach((h, i) =>
        expect(helpersIn(wgslHelpers.get(h)!).every((inner) => inner === h || helpers.indexOf(inner) < i)).toBe(true),
      );
    }
    expect([...wgslHelpers.keys()].filter((h) => !called.has(h))).toEqual([]);
  });
});

function withNoise(
  x: ReturnType<typeof toTensor>,
  { batchDim, tokenDim }: { readonly batchDim: number; readonly tokenDim: number },
  lengths: ArrayLike<number>,
) {
  const [inner, outer] = [x.shape.slice(tokenDim + 1), x.shape.slice(batchDim + 1)].map((s) =>
    s.reduce((a, b) => a * b, 1),
  ) as [number, number];
  const data = x.data.map((v, i) =>
    Math.floor(i / inner) % x.shape[tokenDim]! < lengths[Math.floor(i / outer) % x.shape[batchDim]!]!
      ? v
      : v === 0
        ? 1
        : 0,
  );
  return { shape: x.shape, data };
}

/** Within 1e-12, which 64-bit arithmetic keeps and no wrong formula meets by chance. */
function expectClose(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  found.forEach((v, i) => {
    const e = expected[i]!;
    if (!Number.isFinite(e)) expect(v, `element ${i}`).toEqual(e);
    else
      expect(Math.abs(v - e), `element ${i}: ${v} against ${e}`).toBeLessThanOrEqual(1e-12 * Math.max(1, Math.abs(e)));
  });
}
