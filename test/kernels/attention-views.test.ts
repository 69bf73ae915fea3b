// Attention reads q, k and v where they lie in one product's rows, and writes its result as a permutation, on devices
// with subgroups and without.
import { describe, expect, it } from "vitest";
import { emit } from "../../src/compiler/codegen/emit.js";
import type { Node } from "../../src/compiler/ir/graph.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { load } from "../../src/runtime/index.js";
import { schedule } from "../../src/compiler/schedule/schedule.js";
import { tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { rational } from "../../src/ground/numerics/rational.js";
import { rowsSize } from "../../src/ground/size/size.js";
import { testDevice } from "../device.js";
import { Bench } from "../compiler/ops/bench.js";
import { thinned } from "../soak.js";
import { standingIn } from "../stand-ins.js";

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

/** Attention over three slices of a value. */
function build(
  b: Bench,
  axis: string,
  { heads, shared, d, e, before, order }: Shape,
): { readonly node: Node<"attention">; readonly product: Node } {
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
    return b.node("permute", [b.node("reshape", [slice], { shape: [N, widths[i]! / width, width] })], {
      order: [1, 0, 2],
    });
  });
  const [starts, positions] = [b.starts(axis), b.positions(axis)];
  const node = b.node("attention", [...parts, starts, starts, positions, positions], {
    causal: true,
    window: 0,
    scale: 0.3,
  });
  return { node, product };
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
    it.each(thinned(which, SHAPES, 2, axis === "T" ? 0 : 1))("%s", { tags: "long" }, async (_name, shape) => {
      const device = await testDevice(which);
      const b = new Bench(
        {
          batch: 4,
          tokens: 37,
          lengths: [37, 0, 5, 20],
          axes: { A: { kind: "above", parent: "T", expected: rational(1, 2) } },
        },
        3,
      );
      if (axis === "A") b.above("A", b.rows([], []), b.data("f32", [], [0.1]));
      const { node, product } = build(b, axis, shape);
      const { heads, e } = shape;
      // As [rows, heads, e]: what a permutation of the result would hold.
      const back = b.node("permute", [node], { order: [1, 0, 2] });
      const direct = b.finish(b.node("reshape", [back], { shape: [rowsSize(axis), heads * e] }), "views");
      // The product stays in memory to the end.
      const kept = b.finish(product, "product").graph.outputs.map((o) => ({ ...o, name: "product" }));
      const plan = schedule({ ...direct.graph, outputs: [...direct.graph.outputs, ...kept] }, device.target);
      // Nothing slices, permutes or copies: every kernel for attention reads and writes in the layout of its
      // neighbours.
      const steps = plan.steps.filter(({ nodes }) => nodes[0]!.op !== "above" && nodes[0]!.op !== "take");
      const fours = [shape.d, shape.e, shape.before].every((n) => n % 4 === 0);
      const bySubgroup = fours && tuningsFor(device.target).attention.kind === "subgroup";
      expect(
        steps.map((x) => [
          x.nodes[0]!.op,
          x.kind === "dispatch" && x.kernel.file,
          x.kind === "dispatch" && (x.standIn?.steps ?? 0),
        ]),
      ).toEqual(
        bySubgroup
          ? [
              ["attention", "attention_row", 1],
              ["attention", "attention_subgroup", 0],
            ]
          : [["attention", "attention", 0]],
      );
      const inputs = new Map(
        [...direct.options.inputs].map(([name, { shape: s, data }]) => [name, { shape: s, data: Array.from(data) }]),
      );
      const wanted = evaluate(direct.graph, direct.options).outputs.get("y0")!;
      expect(wanted.data.some((w) => Math.abs(w) > 0.1)).toBe(true);
      const results = [];
      for (const which of ["none", "all"] as const) {
        const session = await load(standingIn(emit(plan), which), device, undefined, { compile: "run" });
        const found = (await session.run(inputs, { lengths: direct.options.lengths!, promises: ["greedy"] }))["y0"]!;
        session.dispose();
        expect(found.shape).toEqual(wanted.shape);
        const worst = wanted.data.reduce((m, w, i) => Math.max(m, Math.abs(w - found.data[i]!)), 0);
        expect(worst, which).toBeLessThan(2e-6);
        results.push(found.data);
      }
      expect(results[1]).toEqual(results[0]);
    });
  });
});
