// Finds which columns of which value the columns of a view are.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { equalSizes, type Size } from "../../ground/size/size.js";

/** Neighbouring columns of a value: `length` elements of its last dimension from the place `at`, for every row. */
export interface Run {
  readonly node: Node;
  /** An index for each dimension; 0 in the dimension of rows, whose extent is no number. */
  readonly at: readonly number[];
  readonly length: number;
}

/**
 * Follows `length` columns of x from `at` through views, joins and additions of 0, to the values that are none of
 * these.
 */
export function runsOf(x: Node, at: readonly number[], length: number): readonly Run[] {
  const { shape } = typeOf(x);
  const last = shape.length - 1;
  const stop = [{ node: x, at, length }];
  if (isOp(x, "slice")) {
    const { axis, start } = x.attrs;
    return typeof shape[axis] === "number" ? runsOf(x.inputs[0], moved(at, axis, start), length) : stop;
  }
  if (isOp(x, "concat")) {
    const { axis } = x.attrs;
    if (typeof shape[axis] !== "number") return stop;
    let begin = 0;
    return x.inputs.flatMap((part) => {
      const width = Number(typeOf(part).shape[axis]);
      const own = at[axis]! - begin;
      begin += width;
      const first = Math.max(0, own);
      const count = axis === last ? Math.min(own + length, width) - first : length;
      const isIn = axis === last ? count > 0 : own >= 0 && own < width;
      return isIn ? runsOf(part, moved(at, axis, first - at[axis]!), count) : [];
    });
  }
  if (isOp(x, "permute")) {
    const { order } = x.attrs;
    if (order[last] !== last) return stop;
    const before = at.map(() => 0);
    for (const [i, from] of order.entries()) before[from] = at[i]!;
    return runsOf(x.inputs[0], before, length);
  }
  if (isOp(x, "reshape")) return ofReshape(x, at, length) ?? stop;
  if (isOp(x, "broadcast")) return ofBroadcast(x.inputs[0], shape, at, length) ?? stop;
  if (isOp(x, "add")) {
    const [a, b] = x.inputs;
    const other = isZero(b) ? a : isZero(a) ? b : null;
    return (other && ofBroadcast(other, shape, at, length)) ?? stop;
  }
  return stop;
}

const isZero = (x: Node): boolean => isOp(x, "constant") && x.attrs.value === 0;

const moved = (at: readonly number[], axis: number, by: number): readonly number[] =>
  at.map((n, i) => (i === axis ? n + by : n));

function ofBroadcast(x: Node, shape: readonly Size[], at: readonly number[], length: number): readonly Run[] | null {
  const own = typeOf(x).shape;
  const missing = shape.length - own.length;
  const alike = own.every((size, i) => equalSizes(size, shape[i + missing]!) || size === 1);
  const hasRows = own.some((size) => typeof size !== "number");
  if (!alike || !hasRows || !equalSizes(own.at(-1)!, shape.at(-1)!)) return null;
  return runsOf(
    x,
    own.map((size, i) => (size === 1 ? 0 : at[i + missing]!)),
    length,
  );
}

/** Elements before and behind the rows stay in their order. */
function ofReshape(x: Node<"reshape">, at: readonly number[], length: number): readonly Run[] | null {
  const [to, from] = [typeOf(x).shape, typeOf(x.inputs[0]).shape];
  const [rowsTo, rowsFrom] = [to, from].map((shape) => shape.findIndex((size) => typeof size !== "number"));
  const extents = (shape: readonly Size[]): readonly number[] => shape.map(Number);
  const [headTo, tailTo] = [extents(to.slice(0, rowsTo)), extents(to.slice(rowsTo! + 1))];
  const [headFrom, tailFrom] = [extents(from.slice(0, rowsFrom)), extents(from.slice(rowsFrom! + 1))];
  const count = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);
  const isOneRows =
    rowsTo! >= 0 &&
    rowsFrom! >= 0 &&
    equalSizes(to[rowsTo!]!, from[rowsFrom!]!) &&
    [...headTo, ...tailTo, ...headFrom, ...tailFrom].every((n) => Number.isInteger(n) && n > 0);
  if (!isOneRows || tailTo.length === 0 || tailFrom.length === 0) return null;
  if (count(headTo) !== count(headFrom) || count(tailTo) !== count(tailFrom)) return null;
  const flat = (shape: readonly number[], index: readonly number[]): number =>
    shape.reduce((sum, n, i) => sum * n + index[i]!, 0);
  const head = places(headFrom, flat(headTo, at.slice(0, rowsTo)));
  const width = tailFrom.at(-1)!;
  const runs: Run[] = [];
  const first = flat(tailTo, at.slice(rowsTo! + 1));
  for (let done = 0; done < length;) {
    const taken = Math.min(length - done, width - ((first + done) % width));
    runs.push(...runsOf(x.inputs[0], [...head, 0, ...places(tailFrom, first + done)], taken));
    done += taken;
  }
  return runs;
}

/** The indices of an element by its place in row-major order. */
function places(shape: readonly number[], flat: number): readonly number[] {
  let rest = flat;
  return shape
    .map((_, i) => shape.length - 1 - i)
    .map((i) => {
      const index = rest % shape[i]!;
      rest = Math.floor(rest / shape[i]!);
      return index;
    })
    .toReversed();
}
