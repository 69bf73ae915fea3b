// Compares gradients with finite differences of the reference, choices held fixed: shared by every test of gradients.
import { gradients, type GradientOptions } from "../../../src/compiler/autodiff/gradients.js";
import { createEmit } from "../../../src/compiler/ir/build.js";
import {
  isOp,
  nodesOf,
  typeOf,
  type Graph,
  type GraphInput,
  type GraphOutput,
  type Node,
} from "../../../src/compiler/ir/graph.js";
import { reachedStarts } from "../../../src/compiler/ir/reach.js";
import { replaceNodes } from "../../../src/compiler/ir/replace.js";
import { packedAxis } from "../../../src/compiler/ir/typing.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { evaluate, type Choice, type EvaluateOptions } from "../../../src/compiler/reference/evaluate.js";
import { isFloat } from "../../../src/ground/base/dtype.js";
import { axisSize } from "../../../src/ground/size/size.js";

export interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A leaf by what the caller calls it. */
export interface Leaf {
  readonly kind: "input" | "weight";
  readonly name: string;
}

/** What a graph is run with. */
export type Given = Omit<EvaluateOptions, "inputs" | "weights" | "forced"> & {
  readonly inputs: ReadonlyMap<string, Values>;
  readonly weights: ReadonlyMap<string, Values>;
};

/** Float inputs and weights that a graph reaches. */
export function floatLeaves(
  graph: Pick<Graph, "outputs" | "states" | "starts">,
): readonly (Node<"input"> | Node<"weight">)[] {
  return nodesOf(graph).filter(
    (n): n is Node<"input"> | Node<"weight"> => (isOp(n, "input") || isOp(n, "weight")) && isFloat(typeOf(n).dtype),
  );
}

export const leafOf = (node: Node<"input"> | Node<"weight">): Leaf =>
  isOp(node, "weight") ? { kind: "weight", name: node.attrs.path } : { kind: "input", name: node.attrs.name };

export const outputName = ({ kind, name }: Leaf): string => `d ${kind} ${name}`;

/**
 * The graph with the loss as `loss` and the gradients of the leaves beside it, an input's as the caller gives that
 * input.
 */
export function differentiated(
  graph: Graph,
  loss: Node,
  leaves: readonly (Node<"input"> | Node<"weight">)[],
  options: GradientOptions = {},
): Graph {
  const emit = createEmit(ops, graph.axes);
  const found = gradients(emit, loss, leaves, options);
  const outputs: GraphOutput[] = [{ name: "loss", role: "loss", node: loss, shape: [], packing: null }];
  for (const leaf of leaves) {
    const node = found.get(leaf) ?? emit.node("constant", [], { value: 0, ...typeOf(leaf) });
    const input = graph.inputs.find((i) => i.node === leaf);
    outputs.push({
      name: outputName(leafOf(leaf)),
      role: "observe",
      node,
      shape: input?.shape ?? typeOf(leaf).shape,
      packing: input?.packing ?? null,
    });
  }
  const starts = reachedStarts({ outputs, states: [] }, (axis) => graph.starts.get(axis) ?? null);
  return { ...graph, outputs, states: [], starts };
}

/**
 * Finite differences of `loss` along a direction of one leaf, the routes of `forced` taken; null where there is a kink
 * or the loss is not finite.
 */
export function difference(
  graph: Graph,
  given: Given,
  forced: ReadonlyMap<string, Choice>,
  leaf: Leaf,
  direction: ArrayLike<number>,
  step: number,
): number | null {
  const at = (h: number): number => {
    const kind = leaf.kind === "input" ? "inputs" : "weights";
    const from = given[kind].get(leaf.name)!;
    const moved = { shape: from.shape, data: Float64Array.from(from.data, (v, i) => v + h * direction[i]!) };
    return evaluate(graph, { ...given, forced, [kind]: new Map([...given[kind], [leaf.name, moved]]) }).outputs.get(
      "loss",
    )!.data[0]!;
  };
  const [before, here, after] = [at(-step), at(0), at(step)];
  const [left, right] = [(here - before) / step, (after - here) / step];
  if (!Number.isFinite(left) || !Number.isFinite(right)) return null;
  if (Math.abs(left - right) > 0.02 * Math.max(1, Math.abs(left), Math.abs(right))) return null;
  // Richardson's extrapolation from two steps: what is left is of the fourth power of the step.
  const half = (at(step / 2) - at(-step / 2)) / step;
  return (4 * half - (left + right) / 2) / 3;
}

/**
 * The same loss with what `stop_gradient` lets through held at its values of this run, as inputs: what differences must
 * not see change either. `straight(hard, soft)` becomes hard + (soft − the value soft has now), hard held. These values
 * must lie along axes of the inputs.
 */
export function held(
  graph: Graph,
  given: Given,
  forced: ReadonlyMap<string, Choice>,
): { readonly graph: Graph; readonly given: Given } {
  const emit = createEmit(ops, graph.axes);
  const nodes = nodesOf(graph);
  const stopped = [
    ...new Set(nodes.flatMap((n) => (isOp(n, "stop_gradient") ? [n] : isOp(n, "straight") ? n.inputs : []))),
  ];
  const made = stopped.map((node, i): { readonly input: GraphInput; readonly output: GraphOutput } => {
    const { dtype, shape } = typeOf(node);
    const name = `held ${i}`;
    const dim = shape.findIndex((s) => packedAxis(s) !== null);
    const axis = dim < 0 ? null : packedAxis(shape[dim]!);
    const packing = axis === null ? null : { axis, batchDim: 0, tokenDim: dim + 1 };
    const outside = axis === null ? shape : [axisSize("B"), ...shape.with(dim, axisSize(axis))];
    const input = emit.node("input", [], { name, dtype, shape });
    return {
      input: { name, node: input, shape: outside, packing, least: 0, below: null },
      output: { name, role: "observe", node, shape: outside, packing },
    };
  });
  const values = evaluate({ ...graph, outputs: made.map((m) => m.output) }, { ...given, forced }).outputs;
  const heldAt = new Map<Node, Node>(stopped.map((node, i) => [node, made[i]!.input.node]));
  const now = new Map<Node, Node>();
  for (const node of nodes) {
    if (isOp(node, "stop_gradient")) {
      now.set(node, heldAt.get(node)!);
      continue;
    }
    const inputs = node.inputs.map((n) => now.get(n)!);
    if (isOp(node, "straight")) {
      const moved = emit.node("sub", [inputs[1]!, heldAt.get(node.inputs[1])!], {});
      now.set(node, emit.node("add", [heldAt.get(node.inputs[0])!, moved], {}));
      continue;
    }
    now.set(node, inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs });
  }
  const replaced = replaceNodes(graph, (node) => now.get(node) ?? node);
  return {
    graph: { ...replaced, inputs: [...replaced.inputs, ...made.map((m) => m.input)] },
    given: { ...given, inputs: new Map([...given.inputs, ...values]) },
  };
}

/** The choices that a run makes. */
export const choicesOf = (graph: Graph, given: Given): ReadonlyMap<string, Choice> =>
  new Map([...evaluate(graph, given).routes].map(([axis, route]) => [axis, route.used]));
