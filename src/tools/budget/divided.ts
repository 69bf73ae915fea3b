// Computes the share of a model that tensor parallelism divides: pairs of matrices (columns of the first matmul, rows
// of the second) and the values between them (Shoeybi et al. 2019, arXiv 1909.08053). Everything else is whole on every
// device.
import { layerOf } from "../../compiler/autodiff/layers.js";
import { countOf } from "../../ground/base/collections.js";
import { isOp, isPointwise, isView, nodesOf, typeOf, type Graph, type Node } from "../../compiler/ir/graph.js";
import { resolveSizes, type RunSizes } from "../../ground/size/axes.js";
import type { CountMode } from "../../ground/size/counting.js";

export interface Divided {
  /** Number of divided weight values. */
  readonly weights: number;
  /** The divided share of all stored values, by number of values. */
  readonly values: number;
}

/** Divides among `devices`. `objective`: the graph before any pass. */
export function dividedOf(objective: Graph, devices: number, run: RunSizes, mode: CountMode): Divided {
  const nodes = nodesOf(objective);
  const whole = new Set<Node>();
  let found = walk(objective, nodes, devices, whole);
  while (found.broken.size > 0) {
    for (const first of found.broken) whole.add(first);
    found = walk(objective, nodes, devices, whole);
  }
  const sizes = resolveSizes(objective.axes, run, mode);
  let [all, parts] = [0, 0];
  for (const node of nodes) {
    const type = node.types[0];
    if (isView(node) || type?.dtype !== "f32" || node.inputs.every((input) => weightsBehind(input).length > 0))
      continue;
    const values = type.shape.reduce<number>((product, size) => product * sizes.number(size), 1);
    all += values;
    if (found.between.has(node)) parts += values;
  }
  return { weights: found.weights, values: all === 0 ? 0 : parts / all };
}

interface Walk {
  readonly weights: number;
  /** Values between the first and the second matmul of a pair, with the first matmuls that they depend on. */
  readonly between: ReadonlyMap<Node, ReadonlySet<Node>>;
  /** First matmuls that must stay whole, because a reader needs all of their columns. */
  readonly broken: ReadonlySet<Node>;
}

/** Divides every matmul that may be the first of a pair, except for the ones in `whole`. */
function walk(objective: Graph, nodes: readonly Node[], devices: number, whole: ReadonlySet<Node>): Walk {
  const between = new Map<Node, ReadonlySet<Node>>();
  const broken = new Set<Node>();
  const paired = new Set<Node>();
  const matrices = new Map<string, number>();
  const firstsOf = (node: Node): ReadonlySet<Node> => between.get(node) ?? NONE;
  for (const node of nodes) {
    const firsts = new Set(node.inputs.flatMap((input) => [...firstsOf(input)]));
    const weights = isProduct(node) ? weightsBehind(node.inputs[1]) : [];
    const even = weights.length > 0 && weights.every((w) => isEven(w, devices));
    if (firsts.size === 0) {
      if (!even || whole.has(node)) continue;
      between.set(node, new Set([node]));
    } else if (isProduct(node)) {
      for (const first of firsts) (even ? paired : broken).add(first);
    } else if (keepsColumnsApart(node, devices)) between.set(node, firsts);
    else for (const first of firsts) broken.add(first);
    if (even) for (const w of weights) matrices.set(w.attrs.path, countOf(typeOf(w).shape.map(Number)));
  }
  for (const { node } of objective.outputs) for (const first of firstsOf(node)) broken.add(first);
  for (const firsts of between.values()) for (const first of firsts) if (!paired.has(first)) broken.add(first);
  return { weights: [...matrices.values()].reduce((sum, n) => sum + n, 0), between, broken };
}

const NONE: ReadonlySet<Node> = new Set();

const isProduct = (node: Node): boolean => isOp(node, "matmul") || isOp(node, "grouped_matmul");

/** Whether each column (or head) of the result depends only on the same columns (or heads) of the operands. */
const keepsColumnsApart = (node: Node, devices: number): boolean =>
  isPointwise(node) ||
  isView(node) ||
  // [heads, rows, columns per head]: each device needs whole heads, also for the keys.
  (isOp(node, "attention") && node.inputs.slice(0, 2).every((x) => Number(typeOf(x).shape[0]) % devices === 0)) ||
  isOp(node, "rope") ||
  isOp(node, "take") ||
  // A norm of each head, for rows of shape [heads, columns per head].
  (isOp(node, "sum") && typeOf(node.inputs[0]).shape.length >= 3);

/** The weights behind a node: the node itself, or weights that it views or concatenates. Empty for other nodes. */
function weightsBehind(node: Node): readonly Node<"weight">[] {
  if (isOp(node, "weight")) return [node];
  if (!isView(node) && !isOp(node, "concat")) return [];
  const found = node.inputs.map(weightsBehind);
  return found.some((weights) => weights.length === 0) ? [] : found.flat();
}

const isEven = (weight: Node<"weight">, devices: number): boolean =>
  weight.attrs.shape.length === 2 &&
  weight.attrs.shape.every((n) => n % devices === 0) &&
  layerOf(weight.attrs.path) !== null;
