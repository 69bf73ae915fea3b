// The backward pass of a large vocabulary in parts: the gradients stay what they are, and neither logits nor their
// gradient are ever whole.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { assertSound } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { memoryOf } from "../../../src/runtime/index.js";
import { memoryAt } from "../../../src/runtime/run/memory.js";
import { parseAxes } from "../../../src/runtime/steps/sizes.js";
import { contractionsAsProducts } from "../../../src/compiler/schedule/fusion/kernel-graph.js";
import { MOST_CLASSES } from "../../../src/compiler/schedule/split/cuts.js";
import { split } from "../../../src/compiler/schedule/split/split.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { difference, type Given } from "../autodiff/differences.js";
import { random } from "../../random.js";
import { CLASSES, HEADS, LIMIT, narrow, ROWS } from "./large-heads.js";
import { expectClose } from "../../close.js";

function objectiveOf(source: string, gradients: boolean): Graph {
  const { graph, diagnostics, sources } = compile(source, { phase: "train", gradients, verify: true });
  if (!graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return contractionsAsProducts(graph);
}

/** Rows of unequal lengths, every sixth target ignored. */
function given(graph: Graph): Given {
  const rng = random(21);
  const data = (signed: boolean): Float64Array =>
    Float64Array.from({ length: ROWS.B * ROWS.T }, () => (signed && rng.below(6) === 0 ? -1 : rng.below(CLASSES)));
  const inputs = new Map(
    graph.inputs.map(({ name, node }) => [name, { shape: [ROWS.B, ROWS.T], data: data(node.attrs.dtype === "i32") }]),
  );
  const weights = nodesOf(graph).flatMap((n) => (isOp(n, "weight") ? [n.attrs] : []));
  const filled = weights.map(({ path, shape }): [string, { shape: readonly number[]; data: Float64Array }] => [
    path,
    { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal() * 0.3) },
  ]);
  return { inputs, weights: new Map(filled), lengths: [9, 16] };
}

const ofAll = (graph: Graph): number =>
  nodesOf(graph).filter((n) => n.types[0]?.shape.length === 2 && n.types[0].shape[1] === CLASSES).length;

describe.each(Object.entries(HEADS))("%s", (_name, source) => {
  const graph = objectiveOf(source, true);
  const parts = split(graph, narrow().limits);
  const own = given(graph);
  const cut = evaluate(parts, own).outputs;

  it("has the gradients of the whole in parts", () => {
    assertSound(parts, ops, "split");
    const whole = evaluate(graph, own).outputs;
    expect([...cut.keys()]).toEqual([...whole.keys()]);
    for (const [name, { shape, data }] of whole) {
      const got = cut.get(name)!;
      expect(got.shape).toEqual(shape);
      const most = data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      expect(most, name).toBeGreaterThan(0);
      // Sums over classes run part by part: the last digits of 64 bits.
      expectClose(got.data, data, () => 1e-12 * most, name);
    }
  });

  it("has the gradients that finite differences of the whole give", { tags: "long" }, () => {
    const rng = random(8);
    const loss = objectiveOf(source, false);
    for (const [path, { data }] of own.weights) {
      const direction = Float64Array.from(data, () => rng.normal());
      const expected = difference(loss, own, new Map(), { kind: "weight", name: path }, direction, 1e-3);
      const found = cut.get(`grad.${path}`)!.data.reduce((sum, v, i) => sum + v * direction[i]!, 0);
      expect(Math.abs(found - expected!), `${path}: ${found}, by differences ${expected}`).toBeLessThanOrEqual(
        1e-6 * Math.max(1, Math.abs(expected!)),
      );
    }
  });

  it("has neither logits nor a gradient of them for all classes, and binds nothing beyond the limit", () => {
    expect(ofAll(graph)).toBeGreaterThanOrEqual(2);
    expect(nodesOf(parts).filter((n) => isOp(n, "cross_entropy_grad") || isOp(n, "cross_entropy"))).toEqual([]);
    expect(nodesOf(parts).filter((n) => isOp(n, "class_grad")).length).toBeGreaterThanOrEqual(3);
    const { program } = compile(source, { phase: "train", gradients: true, target: narrow() });
    const { slots } = memoryAt(program!, parseAxes(program!), {
      extents: new Map(Object.entries(ROWS)),
      lengths: new Map(),
      live: new Map(),
    });
    expect(Math.max(...slots)).toBeLessThanOrEqual(LIMIT);
  });
});

const STEP = { optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 }, clip: 1, microBatches: 1 } as const;

describe("a training step", () => {
  it.each(Object.entries(HEADS))("of %s binds nothing beyond the limit", (_name, source) => {
    const { programs } = compileTraining({ source, file: "head.mod" }, STEP, { target: narrow() });
    const { step } = programs!;
    const { slots } = memoryAt(step, parseAxes(step), {
      extents: new Map(Object.entries(ROWS)),
      lengths: new Map(),
      live: new Map(),
    });
    expect(Math.max(...slots)).toBeLessThanOrEqual(LIMIT);
  });

  it("over many classes holds no more than a part of their logits, whatever the limits", () => {
    const [classes, rows, dim] = [4 * MOST_CLASSES, 4096, 32];
    const source = HEADS["one table for both ends"]!.replace("B <= 2, T <= 16", `B <= 1, T <= ${rows}`);
    const { programs } = compileTraining(
      { source, file: "head.mod", set: { vocab: String(classes), dim: String(dim) } },
      STEP,
      { target: PORTABLE },
    );
    const { activations } = memoryOf(programs!.step, { max: { B: 1, T: rows } });
    const [part, table] = [4 * rows * MOST_CLASSES, 4 * classes * dim];
    expect(activations).toBeGreaterThan(part);
    expect(activations).toBeLessThan(1.1 * part + 5 * table);
  });
});
