// Types of tensors in the checker: the roles of their dimensions.
import type { SequenceAxis } from "../../../ground/size/axes.js";
import type { DType } from "../../../ground/base/dtype.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import { equalSizes, type Size } from "../../../ground/size/size.js";
import type { Emitter } from "./context.js";
import type { EntryAxis, LogicalAxis, LogicalOp, LogicalType, Route, Value } from "./model.js";
import { operations } from "./operations.js";

/** The name of the axis if the size is exactly that axis; null for a number or a computed size. */
export function axisName(size: Size): string | null {
  if (typeof size === "number" || size.terms.length !== 1) return null;
  const [term] = size.terms;
  if (term?.coefficient.num !== 1n || term.coefficient.den !== 1n || term.atoms.length !== 1) return null;
  const atom = term.atoms[0]?.atom;
  return atom?.kind === "axis" ? atom.axis : null;
}

/** Looks up an axis by name: a function body, or the axes of a finished model. */
export type AxisLookup = Pick<Emitter, "axis">;

/** The axis of a dimension; null for a number or a computed size. */
export function axisOf(axes: AxisLookup, size: Size): LogicalAxis | null {
  const name = axisName(size);
  return name === null ? null : axes.axis(name);
}

/** The sequence axis of a dimension, or null. */
export function sequenceOf(axes: AxisLookup, size: Size): SequenceAxis | null {
  const axis = axisOf(axes, size);
  return axis?.role === "sequence" ? axis : null;
}

/** The entry axis of a dimension, or null. */
export function entriesOf(axes: AxisLookup, size: Size): EntryAxis | null {
  const axis = axisOf(axes, size);
  return axis?.role === "entries" ? axis : null;
}

/** For an entry axis with fixed extent, the extent as a number; otherwise the size itself. */
export function plainSize(axes: AxisLookup, size: Size): Size {
  const axis = entriesOf(axes, size);
  return axis === null || axis.ragged ? size : axis.bound;
}

/** Whether two sizes are equal, or one is an entry axis of fixed extent and the other that number. */
export const sameExtent = (axes: AxisLookup, a: Size, b: Size): boolean =>
  equalSizes(a, b) ||
  (typeof a === "number" && equalSizes(a, plainSize(axes, b))) ||
  (typeof b === "number" && equalSizes(plainSize(axes, a), b));

export const isSequence = (axes: AxisLookup, size: Size): boolean => sequenceOf(axes, size) !== null;
export const isBatch = (axes: AxisLookup, size: Size): boolean => axisOf(axes, size)?.role === "batch";

/** Indices of the sequence dimensions, ascending. */
export const sequenceDims = (axes: AxisLookup, shape: readonly Size[]): readonly number[] =>
  shape.flatMap((size, dim) => (isSequence(axes, size) ? [dim] : []));

/** Whether the axis belongs to a route. */
export const isRouted = (axis: LogicalAxis | null): boolean =>
  axis?.role === "sequence" && chosenFrom(axis.count) !== null;

/**
 * The axis whose positions the tokens have. Follows routes to their parents; slices and concatenations number their
 * positions from 0.
 */
export function rootOf(axes: AxisLookup, axis: SequenceAxis): SequenceAxis {
  let at = axis;
  for (let parent = chosenFrom(at.count); parent !== null; parent = chosenFrom(at.count)) {
    const from = axes.axis(parent);
    if (from.role !== "sequence") return at;
    at = from;
  }
  return at;
}

export const equalShapes = (a: readonly Size[], b: readonly Size[]): boolean =>
  a.length === b.length && a.every((size, i) => equalSizes(size, b[i] ?? -1));

export const typeOf = (dtype: DType, shape: readonly Size[]): LogicalType => ({ dtype, shape });

/** Type guard on a value's operation. */
export const isOp = <K extends LogicalOp>(value: Value, op: K): value is Value<K> => value.op === op;

/** Whether an operation blocks gradients, even between floats. */
export function stopsGradient<K extends LogicalOp>({ op, attrs }: Value<K>): boolean {
  const { stops } = operations[op];
  return typeof stops === "function" ? stops(attrs) : stops === true;
}

/** Whether the operation chooses rows, so that its value is a route. */
export const isChoice = (value: Value): value is Route => operations[value.op].kind === "choice";
