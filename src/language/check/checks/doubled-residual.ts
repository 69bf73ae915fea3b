// Warns of a residual connection that is made twice: `put` adds an update that already contains the taken rows, or a
// sum adds a tensor to the result of a call that returns the tensor plus its update.
import { reachable, rootsOf, type ReportAt } from "../model/model-values.js";
import type { Model, Value } from "../model/model.js";
import { operations } from "../model/operations.js";
import { isOp } from "../model/types.js";

/** The limit on the number of takes that are traced. */
const MAX_TAKES = 8;

/**
 * Checks every `put` and every sum. A value contains rows if it is computed from them by sums, gates and reshapes
 * alone.
 */
export function checkResiduals(model: Model, reportAt: ReportAt): void {
  const rows = new Map<Value, readonly Value[]>();
  const calls = new Calls(model);
  for (const value of reachable(rootsOf(model))) {
    if (isOp(value, "put")) {
      const [x, route, y] = value.inputs;
      const doubled = y && rows.get(y)?.some((taken) => taken.inputs[0] === x && taken.inputs[1] === route);
      if (doubled) reportAt(value, "doubled-residual", { call: null }, within(y, value) ? y.span : value.span);
    }
    if (isSum(value)) {
      const call = calls.returningInput(value);
      // A block that is called several times is named without the number of the call.
      if (call !== null) reportAt(value, "doubled-residual", { call: call.replaceAll(/#\d+/g, "") });
    }
    if (isOp(value, "take")) rows.set(value, [value]);
    else if (value.inputs.some((input) => rows.has(input))) {
      const contained = rowsIn(value, rows);
      if (contained.length > 0) rows.set(value, contained);
    }
  }
}

const isSum = (value: Value): boolean => isOp(value, "pointwise") && value.attrs.fn === "add";

/** The calls of a model, by their paths. */
class Calls {
  readonly #callers: ReadonlyMap<string, string>;

  constructor(model: Model) {
    this.#callers = new Map(model.calls.map(({ path, caller }) => [path, caller]));
  }

  /** The call whose result the sum adds, if this result also contains the other summand; else null. */
  returningInput(sum: Value): string | null {
    const [a, b] = sum.inputs;
    // The sum of a tensor with itself: the block that made it has nothing to do with it.
    if (a === undefined || b === undefined || a === b) return null;
    return this.#callOf(b, sum.path, a) ?? this.#callOf(a, sum.path, b);
  }

  #callOf(result: Value, caller: string, input: Value): string | null {
    const call = this.#calledFrom(caller, result.path);
    if (call === null) return null;
    // Only values of the call itself: a long skip connection may intentionally add what earlier calls contain.
    const pending = [result];
    const seen = new Set(pending);
    for (let value = pending.pop(); value; value = pending.pop()) {
      if (value === input) return call;
      if (this.#calledFrom(caller, value.path) !== call) continue;
      for (const summand of isSum(value)
        ? value.inputs
        : operations[value.op].carries
          ? value.inputs.slice(0, 1)
          : []) {
        if (!seen.has(summand)) pending.push(summand);
        seen.add(summand);
      }
    }
    return null;
  }

  /** The caller's own call that contains the call of a path; null if no call contains it. */
  #calledFrom(caller: string, path: string): string | null {
    for (let at: string | undefined = path; at !== undefined; at = this.#callers.get(at))
      if (this.#callers.get(at) === caller) return at;
    return null;
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
