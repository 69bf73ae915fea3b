// The kernel of a group of pointwise operators: its leaves, their strides, and the operations in order.
import { invariant } from "../diagnostics/invariant.js";
import { isOp, typeOf, type Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import { attrsKey } from "../ir/key.js";
import { printType } from "../ir/typing.js";
import type { Extents } from "./extents.js";
import { behindBroadcast, type Group } from "./group.js";
import { broadcastStrides, collapse } from "./index-map.js";
import { input, KernelBuilder, result, storageType, work, type Work } from "./kernels/spec.js";
import type { PointwiseLeaf } from "./plan.js";

/** What an expression computes: the result's type, what it reads, and operations on that. */
export interface Expression {
  readonly type: TensorType;
  readonly operations: readonly Node[];
  readonly leaves: readonly Node[];
}

export const expressionOf = (group: Group): Expression => ({ type: typeOf(group.operations.at(-1)!), ...group });

/** A constant or a broadcast value written to memory as it is. */
export const storing = (node: Node): Expression => ({ type: typeOf(node), operations: [], leaves: [behindBroadcast(node)] });

/** Leaves that are read from memory, in the order of the kernel's inputs. */
export const buffersOf = (expression: Expression): readonly Node[] => expression.leaves.filter((leaf) => leaf.op !== "constant");

/** Equal for expressions that have equal work. */
export function expressionKey(expression: Expression, { equal }: Extents): string {
  const place = placesOf(expression);
  // A constant is read as a number, whatever its shape.
  const leaves = expression.leaves.map((leaf) => (isOp(leaf, "constant") ? attrsKey({ ...leaf.attrs, shape: [] }) : printType(equal.type(typeOf(leaf)))));
  const operations = expression.operations.map((n) => `${n.op}{${attrsKey(n.attrs)}}(${n.inputs.map((x) => place(x)).join(",")})`);
  return `${leaves.join(";")}|${operations.join(";")}|${printType(equal.type(expression.type))}`;
}

/** Operations by their number, leaves as −1 − number. */
function placesOf({ operations, leaves }: Expression): (node: Node) => number {
  const places = new Map<Node, number>();
  operations.forEach((node, i) => places.set(node, i));
  leaves.forEach((node, i) => places.set(node, -1 - i));
  return (node) => {
    const place = places.get(node) ?? places.get(behindBroadcast(node));
    invariant(place !== undefined, `an expression does not hold the ${node.op} it reads`);
    return place;
  };
}

/** One invocation for each element; dimensions that all leaves cross alike are walked as one. */
export function expressionWork(expression: Expression, extents: Extents): Work {
  const { leaves, operations } = expression;
  const { equal } = extents;
  const type = equal.type(expression.type);
  const name =
    operations.length === 0
      ? leaves[0]!.op === "constant"
        ? "fill"
        : "broadcast"
      : operations
          .slice(-3)
          .map((n) => n.op)
          .join("_");
  const kernel = new KernelBuilder("pointwise", extents, name);
  readLeaves(kernel, expression);
  kernel.write("y", storageType(type.dtype), result());
  const count = extents.product(type.shape);
  kernel.count("count", count);
  declareValue(kernel, expression, extents);
  return work([kernel.over(count)]);
}

/** Binds what the expression reads, in the order of `buffersOf`, which are the kernel's first inputs. */
export function readLeaves(kernel: KernelBuilder, expression: Expression): void {
  buffersOf(expression).forEach((leaf, i) => kernel.read(`x${i}`, storageType(typeOf(leaf).dtype), input(i)));
}

/** `fn value(i: u32) -> …`: element i of the expression, row-major. */
export function declareValue(kernel: KernelBuilder, expression: Expression, extents: Extents): void {
  const { leaves, operations } = expression;
  const { equal } = extents;
  const type = equal.type(expression.type);
  const place = placesOf(expression);
  const buffers = buffersOf(expression);
  const walk = collapse(extents, { sizes: type.shape, strides: buffers.map((leaf) => broadcastStrides(extents, equal.type(typeOf(leaf)).shape, type.shape)) });
  const sizes = walk.sizes.map((size, d) => (d === 0 ? ({ kind: "one" } as const) : kernel.countOf(size, `size${d}`)));
  const parts = leaves.map((leaf, i): PointwiseLeaf => {
    const { dtype } = typeOf(leaf);
    if (isOp(leaf, "constant")) return { kind: "constant", field: kernel.word(leaf.attrs.value, dtype, `c${i}`), dtype };
    const at = buffers.indexOf(leaf);
    return { kind: "buffer", buffer: `x${at}`, dtype, strides: walk.strides[at]!.map((s, d) => kernel.countOf(s, `stride${at}_${d}`)) };
  });
  kernel.declare({
    kind: "value",
    body: { sizes, leaves: parts, operations: operations.map((node) => ({ node, operands: node.inputs.map(place) })), dtype: type.dtype },
  });
}
