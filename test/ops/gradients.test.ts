// The gradient of every operator against finite differences of its meaning, on all its samples.
import { describe, expect, it } from "vitest";
import { createEmit } from "../../src/ir/build.js";
import { typeOf, type Graph, type Node } from "../../src/ir/graph.js";
import { parseGraph } from "../../src/ir/parse.js";
import { printGraph } from "../../src/ir/print.js";
import { verify } from "../../src/ir/verify.js";
import type { OpName } from "../../src/ir/vocabulary.js";
import type { EmitGrad } from "../../src/ops/define.js";
import { ops } from "../../src/ops/index.js";
import { evaluate } from "../../src/reference/evaluate.js";
import { isFloat } from "../../src/base/dtype.js";
import { choicesOf, difference, differentiated, floatLeaves, leafOf, outputName } from "../autodiff/differences.js";
import { soaking } from "../soak.js";
import { randomFrom, type Case } from "./bench.js";
import { allSamples, caseOf, samples } from "./samples.js";

/**
 * Through these nothing flows: what has no inputs, whole numbers and truths, choices and places, and what stops
 * gradients.
 */
const FLAT: readonly OpName[] = [
  ...([
    "input",
    "weight",
    "state",
    "live",
    "seed",
    "constant",
    "size",
    "starts",
    "rope_table",
    "random_uniform",
    "random_normal",
  ] as const),
  ...(["eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "argmax"] as const),
  ...(["positions", "segments", "counts", "top", "above", "span", "join", "route_mask"] as const),
  ...(["append", "last", "sample", "mark"] as const),
  "stop_gradient",
  // Made by the scheduler of what is differentiated already, and the gradient of a gradient: nothing asks for one.
  ...(["class_sums", "class_grad", "cross_entropy_grad", "attention_grad", "adamw", "sgd"] as const),
];

/**
 * 64-bit differences with a step of 3e−5, extrapolated, err by some 1e−20 of the fifth derivative and 1e−11 of the
 * loss.
 */
const TOLERANCE = 1e-6;
const STEP = 3e-5;
/**
 * Every element of so small an input; of larger ones two, and a direction across all; of large ones, but for the soak,
 * that direction alone.
 */
const FEW = 16;
const MANY = soaking ? Infinity : 200;

/** Halves are no numbers to take differences of: the same graph in f32. */
const inFloats = (graph: Graph): Graph => parseGraph(printGraph(graph).replaceAll("f16", "f32"), ops);

/** Σ sin(0.7·y + 0.3) over all float results, so that each element has a cotangent of its own. */
function withLoss(graph: Graph): { readonly graph: Graph; readonly loss: Node } {
  const made = createEmit(ops, graph.axes);
  const emit: EmitGrad = (op, inputs, attrs) => made.node(op, inputs, attrs);
  const number = (value: number): Node => emit("constant", [], { value, dtype: "f32", shape: [] });
  const parts = graph.outputs.flatMap(({ node }) => {
    const { dtype, shape } = typeOf(node);
    if (!isFloat(dtype)) return [];
    const bent = emit("sin", [emit("add", [emit("mul", [node, number(0.7)], {}), number(0.3)], {})], {});
    return [emit("sum", [bent], { axes: shape.map((_, d) => d), keep: false })];
  });
  return { graph, loss: parts.reduce((a, b) => emit("add", [a, b], {}), number(0)) };
}

/** How many derivatives agreed; throws where one does not. */
function checkSample(made: Case, seed: number): number {
  const { graph, loss } = withLoss(inFloats(made.graph));
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

describe("gradients", () => {
  const isFlat = (op: OpName): boolean => ops[op].grad === null;

  it("are null where nothing flows, and only there", () => {
    expect(
      Object.keys(samples)
        .filter((op) => isFlat(op as OpName))
        .sort(),
    ).toEqual([...FLAT].sort()); // keys of a total table
  });

  // What is picked of choices are whole numbers; picks of numbers stand in the samples of attention whose statistics
  // are kept.
  it.each(Object.keys(samples).filter((op) => !isFlat(op as OpName) && op !== "pick"))(
    "of %s agree with finite differences",
    (op) => {
      const own = allSamples.filter((s) => s.op === op);
      const agreed = own.map(({ sample }, i) => {
        try {
          return checkSample(caseOf(op as OpName, sample), i); // a key of the table
        } catch (error) {
          throw new Error(`${sample.name}: ${error instanceof Error ? error.message : String(error)}`, {
            cause: error,
          });
        }
      });
      expect(agreed.reduce((a, b) => a + b, 0)).toBeGreaterThan(0);
    },
  );
});
