// Compares the gradients of one small graph with finite differences of the graph's outputs.
import { expect } from "vitest";
import { isFloat } from "../../../src/ground/base/dtype.js";
import { createEmit } from "../../../src/compiler/ir/build.js";
import { typeOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { algebra } from "../../../src/compiler/ops/algebra.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { choicesOf, difference, differentiated, floatLeaves, leafOf, outputName } from "../autodiff/differences.js";
import { soaking } from "../../soak.js";
import { randomFrom, type Case } from "./bench.js";

/**
 * 64-bit differences with a step of 3e−5, extrapolated, err by some 1e−20 of the fifth derivative and 1e−11 of the
 * loss.
 */
const TOLERANCE = 1e-6;
const STEP = 3e-5;
/**
 * A small input is tested element by element; a larger one by two elements and a direction across all elements; in
 * short runs, a large one by the direction alone.
 */
const FEW = 16;
const MANY = soaking ? Infinity : 200;

/** Halves are no numbers to take differences of: the same graph in f32. */
const inFloats = (graph: Graph): Graph => parseGraph(printGraph(graph).replaceAll("f16", "f32"), ops);

/** Σ sin(0.7·y + 0.3) over all float results, so that every element's cotangent is different. */
function lossOf(graph: Graph): Node {
  const emit = createEmit(ops, graph.axes);
  const parts = graph.outputs.flatMap(({ node }) => {
    const { dtype, shape } = typeOf(node);
    if (!isFloat(dtype)) return [];
    const m = algebra(emit.node, node);
    const bent = m.sin(m.add(m.mul(node, 0.7), 0.3));
    return [emit.node("sum", [bent], { axes: shape.map((_, d) => d), keep: false })];
  });
  const zero: Node = emit.node("constant", [], { value: 0, dtype: "f32", shape: [] });
  return parts.reduce((a, b) => emit.node("add", [a, b], {}), zero);
}

/** How many derivatives agreed; throws where one does not. */
export function agreedDerivatives(made: Case, seed: number): number {
  const graph = inFloats(made.graph);
  const loss = lossOf(graph);
  const leaves = floatLeaves({
    outputs: [{ name: "loss", role: "loss", node: loss, shape: [], packing: null }],
    states: [],
    starts: new Map(),
  });
  const whole = differentiated(graph, loss, leaves);
  expect(verify(whole, ops)).toEqual([]);
  const given = made.options;
  const forced = choicesOf(whole, given);
  const { outputs } = evaluate(whole, { ...given, forced });
  const only = { ...whole, outputs: whole.outputs.filter((o) => o.name === "loss") };
  const random = randomFrom(seed);
  let agreed = 0;
  for (const node of leaves) {
    const leaf = leafOf(node);
    const gradient = outputs.get(outputName(leaf))!.data;
    const values = (leaf.kind === "input" ? given.inputs : given.weights).get(leaf.name)!.data;
    const n = values.length;
    const elements =
      n <= FEW
        ? Array.from({ length: n }, (_, i) => i)
        : Array.from({ length: n <= MANY ? 2 : 0 }, () => random.below(n));
    const directions = [
      ...elements.map((i) =>
        Float64Array.from({ length: n }, (_, j) => (i === j ? Math.max(1, Math.abs(values[i]!)) : 0)),
      ),
      ...(n <= FEW ? [] : Array.from({ length: 1 }, () => Float64Array.from({ length: n }, () => random.normal()))),
    ];
    for (const direction of directions) {
      if (!direction.every(Number.isFinite)) continue;
      const found = difference(only, given, forced, leaf, direction, STEP);
      if (found === null) continue;
      const products = gradient.map((g, i) => (direction[i] === 0 ? 0 : g * direction[i]!));
      const [sum, size] = [products.reduce((a, b) => a + b, 0), products.reduce((a, b) => a + Math.abs(b), 0)];
      expect(Math.abs(sum - found), `${leaf.name}: ${sum} against ${found}`).toBeLessThanOrEqual(
        TOLERANCE * Math.max(1, size),
      );
      agreed++;
    }
  }
  return agreed;
}
