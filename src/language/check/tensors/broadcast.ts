// NumPy broadcasting of symbolic shapes, and the diagnostics for shapes that do not fit.
import type { Span } from "../../diagnostics/span.js";
import { isCut } from "../../../ground/size/count-rules.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import type { Emitter } from "../model/context.js";
import type { LogicalAxis, LogicalType, Value } from "../model/model.js";
import { axisOf, entriesOf, isBatch, isRouted, isSequence, sameExtent, type AxisLookup } from "../model/types.js";
import { printType } from "../model/values.js";

/**
 * The shape to which all values broadcast; null, with a report, if there is none or if the batch would not be the first
 * dimension.
 */
export function broadcastTypes(
  emitter: Emitter,
  what: string,
  values: readonly Value[],
  span: Span,
): readonly Size[] | null {
  let shape: readonly Size[] = [];
  let sofar: LogicalType | null = null;
  for (const { type } of values) {
    const next = broadcastShapes(emitter, shape, type.shape);
    if (!next) {
      reportMismatch(emitter, what, sofar ?? type, type, span);
      return null;
    }
    sofar = { dtype: type.dtype, shape: next };
    shape = next;
  }
  return batchFirst(emitter, what, shape, span) ? shape : null;
}

/**
 * The shape to which both shapes broadcast; null if two dimensions are neither equal nor 1. A number that equals an
 * entry axis's extent combines with this axis.
 */
export function broadcastShapes(axes: AxisLookup, a: readonly Size[], b: readonly Size[]): readonly Size[] | null {
  const rank = Math.max(a.length, b.length);
  const shape: Size[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[i - (rank - a.length)] ?? 1;
    const y = b[i - (rank - b.length)] ?? 1;
    if (x === 1) shape.push(y);
    else if (y === 1) shape.push(x);
    else if (sameExtent(axes, x, y)) shape.push(typeof x === "number" ? y : x);
    else return null;
  }
  return shape;
}

/** Checks that the batch, if the shape has one, is the first dimension and no other; reports a violation. */
export function batchFirst(emitter: Emitter, what: string, shape: readonly Size[], span: Span): boolean {
  const at = shape.findLastIndex((size) => isBatch(emitter, size));
  if (at > 0) emitter.report("batch-axis", { what, batch: printSize(shape[at] ?? 0) }, span);
  return at <= 0;
}

/**
 * Reports two shapes that do not fit: `unordered-route` if rows of a route meet other tokens, else a shape mismatch.
 * Searches for the mismatch from the last dimension to the first, as broadcasting does.
 */
export function reportMismatch(
  emitter: Emitter,
  what: string,
  left: LogicalType,
  right: LogicalType,
  span: Span,
): void {
  const rank = Math.min(left.shape.length, right.shape.length);
  for (let i = 1; i <= rank; i++) {
    const x = left.shape[left.shape.length - i] ?? 1;
    const y = right.shape[right.shape.length - i] ?? 1;
    if (x === 1 || y === 1 || sameExtent(emitter, x, y)) continue;
    reportSizes(emitter, what, left, x, right, y, span);
    return;
  }
  emitter.report(
    "shape-mismatch",
    { what, left: printType(left), right: printType(right), reason: "their ranks differ" },
    span,
  );
}

/** Reports two sizes that do not fit. */
export function reportSizes(
  emitter: Emitter,
  what: string,
  left: LogicalType,
  x: Size,
  right: LogicalType,
  y: Size,
  span: Span,
): void {
  const routed = [x, y].filter((size) => isRouted(axisOf(emitter, size)));
  if (routed.length > 0 && isSequence(emitter, x) && isSequence(emitter, y)) {
    const [other] = [x, y].filter((size) => !routed.includes(size));
    const reason =
      other === undefined
        ? `${printSize(x)} and ${printSize(y)} are the tokens of two different routes`
        : `${printSize(routed[0] ?? 0)} are the chosen tokens of a route, ${printSize(other)} are not`;
    emitter.report(
      "unordered-route",
      { what, left: printType(left), right: printType(right), reason, of: "rows" },
      span,
    );
    return;
  }
  const entries = [x, y].map((size) => entriesOf(emitter, size));
  if (entries.every((axis) => axis !== null)) {
    const reason = `${printSize(x)} and ${printSize(y)} are the entries of two different choices`;
    emitter.report(
      "unordered-route",
      { what, left: printType(left), right: printType(right), reason, of: "entries" },
      span,
    );
    return;
  }
  const gate =
    left.shape.length !== right.shape.length &&
    Math.min(left.shape.length, right.shape.length) > 1 &&
    isPrefix(left.shape, right.shape);
  const derived = [x, y].filter((size) => isDerived(axisOf(emitter, size)));
  const hint = gate
    ? "add a last dimension to the smaller one: `x[..., None]`"
    : derived.length > 0
      ? emitter.phase === "generate"
        ? causalHint(derived)
        : ownAxisHint(derived)
      : entriesHint(emitter, left, x, right, y);
  const data = {
    what,
    left: printType(left),
    right: printType(right),
    reason: `${printSize(x)} and ${printSize(y)} differ`,
  };
  emitter.report("shape-mismatch", hint === null ? data : { ...data, hint }, span);
}

/** Hint if the chosen entries are combined with all entries, or with a tensor without entries. */
function entriesHint(emitter: Emitter, left: LogicalType, x: Size, right: LogicalType, y: Size): string | null {
  const sizes = [x, y];
  if (sizes.some((size) => entriesOf(emitter, size)) && sizes.some((size) => typeof size === "number"))
    return "one side has the chosen entries, the other all: `take(x, chosen)` takes the chosen ones";
  const [chosen, whole] = [left, right]
    .map(({ shape }) => ({ shape, dim: shape.findIndex((size) => entriesOf(emitter, size)) }))
    .toSorted((a, b) => b.dim - a.dim);
  if (!chosen || !whole || chosen.dim < 0 || whole.dim >= 0) return null;
  const summed = broadcastShapes(emitter, chosen.shape.toSpliced(chosen.dim, 1), whole.shape);
  return summed && `add up the entries of each token: \`sum(x, axis: ${chosen.dim - chosen.shape.length})\``;
}

/** Whether a slice or `concat` defined the axis. */
function isDerived(axis: LogicalAxis | null): boolean {
  return axis?.role === "sequence" && (axis.count.kind === "join" || isCut(axis.count));
}

const ownAxisHint = (derived: readonly Size[]): string =>
  `\`concat\` and slices along a sequence make an axis of their own, here ${derived.map(printSize).join(" and ")}: ` +
  "the tokens match no other axis";

/** Under the causal rule the shapes are not the only obstacle. */
const causalHint = (derived: readonly Size[]): string =>
  `${derived.map(printSize).join(" and ")} was made by \`concat\` or a slice along the sequence, which no ` +
  "token can see in phase generate: a token sees earlier ones only through `attention(…, causal: true)`";

/** Whether one shape is a prefix of the other, like `f32[B, T]` and `f32[B, T, 64]`: a last dimension is missing. */
function isPrefix(a: readonly Size[], b: readonly Size[]): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  return short.every((size, i) => equalSizes(size, long[i] ?? -1));
}
