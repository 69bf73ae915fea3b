// What gradients share: cotangents back in the shape of what was broadcast or reduced, and constants.
import { typeOf, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { equalSizes, multiplySizes, type Size } from "../size/size.js";
import type { EmitGrad } from "./define.js";

/** A number of the dtype of a node's value. */
export const numberLike = (emit: EmitGrad, node: Node, value: number): Node =>
  emit("constant", [], { value, dtype: typeOf(node).dtype, shape: [] });

/** A constant of the type of a node's value. */
export const filledLike = (emit: EmitGrad, node: Node, value: number): Node =>
  emit("constant", [], { value, ...typeOf(node) });

/** A node times a number. */
export const scaled = (emit: EmitGrad, node: Node, factor: number): Node =>
  factor === 1 ? node : emit("mul", [node, numberLike(emit, node, factor)], {});

/** The same elements in another shape; the node itself where it has that shape. */
export const reshaped = (emit: EmitGrad, node: Node, shape: readonly Size[]): Node =>
  equalShapes(typeOf(node).shape, shape) ? node : emit("reshape", [node], { shape });

/** Repeated to a shape; the node itself where it has that shape. */
export const broadcasted = (emit: EmitGrad, node: Node, shape: readonly Size[]): Node =>
  equalShapes(typeOf(node).shape, shape) ? node : emit("broadcast", [node], { shape });

/** Cotangent of a value of `type` that was broadcast to the shape of dy: summed over what it was repeated along. */
export function unbroadcast(emit: EmitGrad, dy: Node, type: TensorType): Node {
  const { shape } = typeOf(dy);
  const added = shape.length - type.shape.length;
  const axes = shape.flatMap((size, d) =>
    size !== 1 && (d < added || !equalSizes(type.shape[d - added]!, size)) ? [d] : [],
  );
  return reshaped(emit, axes.length > 0 ? emit("sum", [dy], { axes, keep: false }) : dy, type.shape);
}

/** What was reduced over `axes`, beside the elements of x: [3, 1, 5] for [3, 5] and axis 1. */
export function besideElements(emit: EmitGrad, reduced: Node, x: Node, axes: readonly number[]): Node {
  return reshaped(
    emit,
    reduced,
    typeOf(x).shape.map((size, d) => (axes.includes(d) ? 1 : size)),
  );
}

/**
 * [rows, width] of the elements of […, width], or null where packed rows stand beside other leading dimensions, from
 * which a reshape cannot take them.
 */
export function asRows(emit: EmitGrad, x: Node): Node | null {
  const { shape } = typeOf(x);
  const leading = shape.slice(0, -1);
  if (leading.some((size) => packedAxis(size) !== null) && leading.filter((size) => size !== 1).length > 1) return null;
  return reshaped(emit, x, [leading.reduce((n: Size, size) => multiplySizes(n, size), 1), shape.at(-1)!]);
}
