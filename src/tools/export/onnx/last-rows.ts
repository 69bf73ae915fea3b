// Decides which values of a generating model are needed for all tokens, and which only for the last token. Logits need
// only the last token, and so do their operands in rowwise operations.
import type { Value } from "../../../language/check/model.js";
import type { Scope } from "./scope.js";

export interface Needed {
  readonly whole: ReadonlySet<Value>;
  readonly last: ReadonlySet<Value>;
}

/** `values` ascend by id. `roots` along the axis are needed at the last token; `others` are needed whole. */
export function neededOf(
  cx: Pick<Scope, "axes">,
  axis: string,
  sorted: ReadonlySet<string>,
  values: readonly Value[],
  roots: readonly Value[],
  others: readonly Value[],
): Needed {
  const whole = new Set(others);
  const last = new Set<Value>();
  const isAlong = (value: Value): boolean =>
    value.type.shape.some((size) => {
      const own = cx.axes.sequenceOf(size);
      return own === axis || (own !== null && sorted.has(own));
    });
  const need = (value: Value, asRow: boolean): void => void (asRow && isAlong(value) ? last : whole).add(value);
  for (const root of roots) need(root, true);
  for (const value of values.toReversed()) {
    const rows = last.has(value) ? rowInputs(cx, value, axis) : null;
    if (last.has(value) && rows === null) whole.add(value);
    if (whole.has(value)) for (const input of value.inputs) need(input, false);
    else if (rows) value.inputs.forEach((input, i) => need(input, rows[i]!));
  }
  return { whole, last };
}

/**
 * If each row of a value depends only on the same row of some inputs: a flag for each of the inputs, true for rowwise
 * inputs and false for inputs read whole. Null for other values.
 */
function rowInputs({ axes }: Pick<Scope, "axes">, value: Value, axis: string): readonly boolean[] | null {
  const dimsOf = (v: Value): readonly number[] =>
    v.type.shape.flatMap((size, dim) => (axes.sequenceOf(size) === axis ? [dim] : []));
  const all = value.inputs.map(() => true);
  if (dimsOf(value).length > 1 || value.inputs.some((input) => dimsOf(input).length > 1)) return null;
  switch (value.op) {
    case "pointwise":
    case "powi":
    case "cast":
    case "straight":
    case "stop_gradient":
    case "reshape":
    case "permute":
    case "slice":
    case "concat":
    case "reduce":
    case "softmax":
    case "rope":
    case "top_entries":
    case "those_entries":
    case "entry_exists":
    case "entry_index":
    case "entry_mask":
    case "entry_count":
    case "entry_members":
    case "take_entries":
    case "put_entries":
    case "sort_rows":
    case "sort_entries":
    case "unsort_entries":
      return all;
    case "gather":
      return dimsOf(value.inputs[0]!).length === 0 ? [false, true] : null;
    case "matmul":
      return dimsOf(value.inputs[1]!).length === 0 ? [true, false] : null;
    case "attention":
      return value.inputs.map((_, i) => i === 0);
    default:
      return null;
  }
}
