// Attention reads q, k and v where they lie in one product's rows, and writes its result as a permutation, on devices with subgroups and without.
import { describe, expect, it } from "vitest";
import { emit } from "../../src/codegen/emit.js";
import { isOp, type Node } from "../../src/ir/graph.js";
import { evaluate } from "../../src/reference/evaluate.js";
import { load } from "../../src/runtime/index.js";
import { Extents } from "../../src/schedule/extents.js";
import { attention } from "../../src/schedule/kernels/attention.js";
import type { View } from "../../src/schedule/kernels/spec.js";
import type { Plan } from "../../src/schedule/plan.js";
import { schedule } from "../../src/schedule/schedule.js";
import { tuningsFor } from "../../src/schedule/tunings/index.js";
import { rational } from "../../src/size/rational.js";
import { multiplySizes, rowsSize, type Size } from "../../src/size/size.js";
import { testDevice } from "../device.js";
import { Bench } from "../ops/bench.js";

interface Shape {
  readonly heads: number;
  readonly shared: number;
  readonly d: number;
  readonly e: number;
  /** Columns before those of q in a row of the product. */
  readonly before: number;
  /** Rows first, as a product leaves them; else [heads, rows, q k v] of one head after the other. */
  readonly order: "rows" | "heads";
}

/** Attention of three slices of one value, and the views that those slices and permutations are. */
function build(
  b: Bench,
  axis: string,
  { heads, shared, d, e, before, order }: Shape,
): { readonly node: Node<"attention">; readonly product: Node; readonly views: View[] } {
  const N = rowsSize(axis);
  const on = (x: Node, dim: number): Node => (axis === "T" ? x : b.node("take", [x, b.index(axis)], { dim }));
  const widths = [heads * d, shared * d, shared * e];
  const total = before + heads * d + shared * d + shared * e;
  const product = order === "rows" ? on(b.rows([], [total]), 0) : on(b.rows([heads], [before + 2 * d + e]), 1);
  const parts = [d, d, e].map((width, i) => {
    if (order === "heads") {
      const start = before + (i === 0 ? 0 : i * d);
      return b.node("slice", [product], { axis: 2, start, stop: start + width });
    }
    const start = before + widths.slice(0, i).reduce((s, w) => s + w, 0);
    const slice = b.node("slice", [product], { axis: 1, start, stop: start + widths[i]! });
    return b.node("permute", [b.node("reshape", [slice], { shape: [N, widths[i]! / width, width] })], { order: [1, 0, 2] });
  });
  const views = [d, d, e].map((width, i): View => {
    if (order === "heads") {
      const row = before + 2 * d + e;
      return { strides: [multiplySizes(N, row), row, 1], offset: before + (i === 0 ? 0 : i * d) };
    }
    return { strides: [width, total, 1], offset: before + widths.slice(0, i).reduce((s, w) => s + w, 0) };
  });
  const [starts, positions] = [b.starts(axis), b.positions(axis)];
  const node = b.node("attention", [...parts, starts, starts, positions, positions], { causal: true, window: 0, scale: 0.3 });
  return { node, product, views };
}

/** The plan with attention reading the product itself, by views. */
function viewed(plan: Plan, product: Node, views: readonly View[], resultView: View | null): Plan {
  const extents = new Extents(plan.graph.axes);
  const slotOf = (node: Node): number => (isOp(node, "input") ? plan.inputs.get(node.attrs.name)! : writtenBy(plan, node));
  const steps = plan.steps.flatMap((step) => {
    const [node] = step.nodes;
    if (!node || !isOp(node, "attention") || step.kind !== "dispatch") return [step];
    const work = attention({
      attrs: node.attrs,
      inputs: node.inputs.map((n) => n.types[0]!),
      results: node.types,
      extents,
      tunings: tuningsFor(plan.target),
      weights: [],
      views: [...views, null, null, null, null],
      resultViews: [resultView],
      stored: { reads: [false, false, false], writes: [false] },
      inPlace: [],
      liesAsGiven: false,
      prologue: null,
      loads: null,
      finishes: null,
      inputB: 1,
      places: [0, 1, 2, 3, 4, 5, 6],
      pairs: 0,
    });
    expect(work.steps.length).toBe(1);
    const made = work.steps[0]!;
    if (made.kind !== "dispatch") throw new Error("attention is a dispatch");
    const names = step.kernel.buffers.map((x) => x.name);
    const buffers = made.kernel.buffers.map(({ name }) => ("qkv".includes(name) ? slotOf(product) : step.buffers[names.indexOf(name)]!));
    return [{ ...step, kernel: made.kernel, uniforms: made.uniforms, workgroups: made.workgroups, buffers }];
  });
  return { ...plan, steps };
}

/** The slot of a node's result. */
function writtenBy(plan: Plan, node: Node): number {
  const step = plan.steps.find((s) => s.nodes[0] === node)!;
  if (step.kind !== "dispatch") throw new Error("a kernel computes the product");
  return step.buffers[step.kernel.buffers.findIndex((x) => x.access === "read_write")]!;
}

const SHAPES: readonly (readonly [string, Shape])[] = [
  ["heads side by side in a row", { heads: 4, shared: 4, d: 8, e: 8, before: 0, order: "rows" }],
  ["groups of heads behind other columns", { heads: 6, shared: 2, d: 4, e: 12, before: 8, order: "rows" }],
  ["a width that is no multiple of four", { heads: 2, shared: 2, d: 6, e: 5, before: 0, order: "rows" }],
  ["an offset that is no multiple of four", { heads: 2, shared: 1, d: 8, e: 8, before: 3, order: "rows" }],
  ["q, k and v of each head together", { heads: 3, shared: 3, d: 4, e: 8, before: 4, order: "heads" }],
];

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  describe.each(["T", "A"])("along %s", (axis) => {
    it.each(SHAPES)("%s", async (_name, shape) => {
      const device = await testDevice(which);
      const b = new Bench({ batch: 4, tokens: 37, lengths: [37, 0, 5, 20], axes: { A: { kind: "above", parent: "T", expected: rational(1, 2) } } }, 3);
      if (axis === "A") b.above("A", b.rows([], []), b.data("f32", [], [0.1]));
      const { node, product, views } = build(b, axis, shape);
      const { heads, e } = shape;
      const permuted: readonly Size[] = [e, heads * e, 1];
      // As [rows, heads, e]: what a permutation of the result would hold.
      const back = b.node("permute", [node], { order: [1, 0, 2] });
      const direct = b.finish(b.node("reshape", [back], { shape: [rowsSize(axis), heads * e] }), "views");
      // The product stays in memory to the end.
      const kept = b.finish(product, "product").graph.outputs.map((o) => ({ ...o, name: "product" }));
      const plan = schedule({ ...direct.graph, outputs: [...direct.graph.outputs, ...kept] }, device.target);
      const given = viewed(plan, product, views, { strides: permuted, offset: 0 });
      // The permutation is left out: attention writes where it would.
      const out = plan.steps.find((s) => s.nodes[0] === back)!;
      if (out.kind !== "dispatch") throw new Error("a kernel permutes");
      const target = writtenBy(plan, back);
      const steps = given.steps
        .filter((s) => s.nodes[0] !== back)
        .map((s) =>
          s.nodes[0] === node && s.kind === "dispatch" ? { ...s, buffers: s.buffers.map((x, i) => (s.kernel.buffers[i]!.name === "y" ? target : x)) } : s,
        );
      const session = await load(emit({ ...given, steps }), device);
      const inputs = new Map([...direct.options.inputs].map(([name, { shape: s, data }]) => [name, { shape: s, data: Array.from(data) }]));
      const found = (await session.run(inputs, { lengths: Uint32Array.from(direct.options.lengths!) }))["y0"]!;
      session.dispose();
      const wanted = evaluate(direct.graph, direct.options).outputs.get("y0")!;
      expect(found.shape).toEqual(wanted.shape);
      const worst = wanted.data.reduce((m, w, i) => Math.max(m, Math.abs(w - found.data[i]!)), 0);
      expect(worst).toBeLessThan(2e-6);
      expect(wanted.data.some((w) => Math.abs(w) > 0.1)).toBe(true);
    });
  });
});
