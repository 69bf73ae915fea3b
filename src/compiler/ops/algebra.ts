// Arithmetic on nodes, so that gradients read as their formulas.
import { typeOf, type Node } from "../ir/graph.js";
import type { EmitGrad } from "./define.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";

const BINARY = ["add", "sub", "div", "pow", "min", "max", "eq", "lt", "le", "gt", "ge", "and"] as const;
const UNARY = ["neg", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "softplus", "abs", "not"] as const;

const byName = <K extends string, F>(names: readonly K[], make: (name: K) => F): Readonly<Record<K, F>> =>
  Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, F>;

/** Arithmetic on nodes and numbers; numbers take the dtype of `like`. */
export function algebra(emit: EmitGrad, like: Node) {
  const number = (value: number): Node => emit("constant", [], { value, dtype: typeOf(like).dtype, shape: [] });
  const node = (value: Node | number): Node => (typeof value === "number" ? number(value) : value);
  return {
    number,
    ...byName(
      BINARY,
      (op) =>
        (a: Node | number, b: Node | number): Node =>
          emit(op, [node(a), node(b)], {}),
    ),
    ...byName(
      UNARY,
      (op) =>
        (x: Node): Node =>
          emit(op, [x], {}),
    ),
    mul: (first: Node | number, ...rest: readonly (Node | number)[]): Node =>
      rest.reduce((product: Node, factor) => emit("mul", [product, node(factor)], {}), node(first)),
    powi: (x: Node, exponent: number) => emit("powi", [x], { exponent }),
    where: (condition: Node, a: Node | number, b: Node | number) => emit("where", [condition, node(a), node(b)], {}),
  };
}

export type Algebra = ReturnType<typeof algebra>;

/** A constant with a node's type. */
export const filledLike = (emit: EmitGrad, node: Node, value: number): Node =>
  emit("constant", [], { value, ...typeOf(node) });

/** Reshapes a node; returns the node itself if it already has the shape. */
export const reshaped = (emit: EmitGrad, node: Node, shape: readonly Size[]): Node =>
  equalShapes(typeOf(node).shape, shape) ? node : emit("reshape", [node], { shape });

/** Broadcasts a node to a shape; returns the node itself if it already has the shape. */
export const broadcasted = (emit: EmitGrad, node: Node, shape: readonly Size[]): Node =>
  equalShapes(typeOf(node).shape, shape) ? node : emit("broadcast", [node], { shape });

/** The cotangent of a value of `type` that was broadcast to the shape of dy: sums dy over the repeated dimensions. */
export function unbroadcast(emit: EmitGrad, dy: Node, type: TensorType): Node {
  const { shape } = typeOf(dy);
  const added = shape.length - type.shape.length;
  const axes = shape.flatMap((size, d) =>
    size !== 1 && (d < added || !equalSizes(type.shape[d - added]!, size)) ? [d] : [],
  );
  return reshaped(emit, axes.length > 0 ? emit("sum", [dy], { axes, keep: false }) : dy, type.shape);
}

/** Reshapes a value that was reduced over `axes` so that it broadcasts against x: [3, 1, 5] for [3, 5] and axis 1. */
export function keepingReduced(emit: EmitGrad, reduced: Node, x: Node, axes: readonly number[]): Node {
  return reshaped(
    emit,
    reduced,
    typeOf(x).shape.map((size, d) => (axes.includes(d) ? 1 : size)),
  );
}

/**
 * Reshapes […, width] to [rows, width]; null if a packed dimension is next to other leading dimensions, which a reshape
 * cannot merge.
 */
export function asRows(emit: EmitGrad, x: Node): Node | null {
  const { shape } = typeOf(x);
  const leading = shape.slice(0, -1);
  if (leading.some((size) => packedAxis(size) !== null) && leading.filter((size) => size !== 1).length > 1) return null;
  return reshaped(emit, x, [leading.reduce((n: Size, size) => multiplySizes(n, size), 1), shape.at(-1)!]);
}
