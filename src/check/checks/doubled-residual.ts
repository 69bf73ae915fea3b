// Warns if the update passed to `put` contains the taken rows themselves: `put` adds it to those rows.
import { reachable, rootsOf, type ReportAt } from "../model-values.js";
import type { Model, Value } from "../model.js";
import { operations } from "../operations.js";
import { isOp } from "../types.js";

/** The limit on the number of takes that are traced. */
const MAX_TAKES = 8;

/** Checks every `put`. A value contains rows if it depends on them only through sums, gates and reshapes. */
export function checkResiduals(model: Model, reportAt: ReportAt): void {
  const rows = new Map<Value, readonly Value[]>();
  for (const value of reachable(rootsOf(model))) {
    if (isOp(value, "put")) {
      const [x, route, y] = value.inputs;
      const doubled = y && rows.get(y)?.some((taken) => taken.inputs[0] === x && taken.inputs[1] === route);
      if (doubled) reportAt(value, "doubled-residual", {}, within(y, value) ? y.span : value.span);
    }
    if (isOp(value, "take")) rows.set(value, [value]);
    else if (value.inputs.some((input) => rows.has(input))) {
      const contained = rowsIn(value, rows);
      if (contained.length > 0) rows.set(value, contained);
    }
  }
}

const within = (inner: Value, outer: Value): boolean =>
  inner.span.file === outer.span.file && inner.span.start >= outer.span.start && inner.span.end <= outer.span.end;

/** The takes whose rows are summands of the value. */
function rowsIn(value: Value, rows: ReadonlyMap<Value, readonly Value[]>): readonly Value[] {
  const [first, second] = value.inputs;
  const of = (v: Value | undefined): readonly Value[] => (v && rows.get(v)) ?? [];
  // Subtraction removes the rows: `inner(rows) - rows` is an update again.
  if (isOp(value, "pointwise") && value.attrs.fn === "sub")
    return of(first).filter((taken) => !of(second).includes(taken));
  return union(summands(value).map(of));
}

function union(sets: readonly (readonly Value[])[]): readonly Value[] {
  const [only, ...more] = sets.filter((s) => s.length > 0);
  return more.length === 0 ? (only ?? []) : [...new Set([only ?? [], ...more].flat())].slice(0, MAX_TAKES);
}

/** The inputs whose rows are summands of the value, unchanged or multiplied by a gate. */
function summands(value: Value): readonly Value[] {
  const [first, second] = value.inputs;
  if (first === undefined) return [];
  if (isOp(value, "pointwise")) {
    switch (value.attrs.fn) {
      case "add":
        return value.inputs;
      case "mul":
        return second === undefined ? [] : gated(value, first, second);
      case "div":
        return second !== undefined && isGate(second, value) ? [first] : [];
      default:
        return [];
    }
  }
  return operations[value.op].carries ? [first] : [];
}

const gated = (value: Value, a: Value, b: Value): readonly Value[] => [
  ...(isGate(b, value) ? [a] : []),
  ...(isGate(a, value) ? [b] : []),
];

/** Whether a factor is a gate: one factor for each row rather than for each feature. */
const isGate = (factor: Value, product: Value): boolean =>
  factor.type.shape.length === 0 || (product.type.shape.at(-1) !== 1 && factor.type.shape.at(-1) === 1);
