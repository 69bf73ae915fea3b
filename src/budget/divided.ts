// What tensor parallelism divides: matrices of layers, columns of the first and rows of the second of two products,
// and the values between them (Shoeybi et al. 2019, arXiv 1909.08053). Everything else is whole on every device.
import { layerOf } from "../autodiff/layers.js";
import { countOf } from "../base/collections.js";
import { isOp, isView, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { resolveSizes, type RunSizes } from "../size/axes.js";
import type { CountMode } from "../size/counting.js";

export interface Divided {
  /** Number of values in the weights that are divided. */
  readonly weights: number;
  /** The share of all stored values, by their number, that is divided. */
  readonly values: number;
}

/** Among `devices`. `objective`: the graph before any pass. */
export function dividedOf(objective: Graph, devices: number, run: RunSizes, mode: CountMode): Divided {
  const matrices = new Map<string, number>();
  const divided = new Set<Node>();
  const sizes = resolveSizes(objective.axes, run, mode);
  let [all, parts] = [0, 0];
  for (const node of nodesOf(objective)) {
    const isPart = divides(node, divided, devices, matrices);
    if (isPart) divided.add(node);
    if (isView(node) || node.inputs.length === 0) continue;
    const type = node.types[0];
    if (type?.dtype !== "f32") continue;
    const values = type.shape.reduce<number>((product, size) => product * sizes.number(size), 1);
    all += values;
    if (isPart) parts += values;
  }
  return {
    weights: [...matrices.values()].reduce((sum, n) => sum + n, 0),
    values: all === 0 ? 0 : parts / all,
  };
}

function divides(node: Node, divided: ReadonlySet<Node>, devices: number, matrices: Map<string, number>): boolean {
  const inputDivided = node.inputs.some((input) => divided.has(input));
  if (!isOp(node, "matmul")) return inputDivided;
  const weight = weightBehind(node.inputs[1]);
  if (weight === null) return inputDivided;
  const shape = typeOf(weight).shape.map(Number);
  const even = shape.length === 2 && shape.every((n) => n % devices === 0);
  if (!even || layerOf(weight.attrs.path) === null) return false;
  matrices.set(weight.attrs.path, countOf(shape));
  return !inputDivided;
}

/** The weight that a node is, or is a view of; null where it is something else. */
function weightBehind(node: Node): Node<"weight"> | null {
  let at = node;
  while (isView(at)) at = at.inputs[0]!;
  return isOp(at, "weight") ? at : null;
}
