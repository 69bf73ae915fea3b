// Calls of alike blocks for all their entries at once: blocks that differ in their weights only, and compute row by
// row, are called once, on a row for each entry.
import type { Span } from "../../diagnostics/span.js";
import type { Fn } from "../../syntax/ast.js";
import { axisSize, equalSizes, type Size } from "../../size/size.js";
import type { Argument, ConstValue } from "../context.js";
import type { Value } from "../model.js";
import { weightsOfAlike } from "../names/alike.js";
import type { Instance } from "../names/bindings.js";
import type { FunctionBody } from "../names/environment.js";
import { entryDim, entrySize, scoreOf, type Choice } from "../tensors/entries.js";
import { recordDefinition } from "../tensors/makers.js";
import { entriesOf, plainSize, sequenceOf, typeOf } from "../types.js";
import { isRowByRow, isWithoutEffects } from "./row-by-row.js";

/** A function of one block of a list. */
export interface ExpertFunction {
  readonly instance: Instance;
  readonly fn: Fn;
}

/** The result of one call for all entries, `args` being those of the first function; null where the blocks need their own. */
export function atOnce(
  body: FunctionBody,
  choice: Choice,
  functions: readonly ExpertFunction[],
  args: ReadonlyMap<string, Argument>,
  span: Span,
): ConstValue | null {
  const [first] = functions;
  if (!first || !isWithoutEffects(first.instance, first.fn)) return null;
  const weights = weightsOfAlike(functions.map((f) => f.instance));
  if (!weights || functions.some((f) => f.fn !== first.fn)) return null;
  const sorting = sortingOf(body, choice, functions.length);
  const own = sorting && argumentsOf(body, choice, sorting, args);
  if (!own) return null;
  const rows = axisSize(sorting.axis);
  const isResult = (value: ConstValue): value is Extract<ConstValue, { kind: "tensor" }> =>
    value.kind === "tensor" && equalSizes(value.value.type.shape[1] ?? 1, rows) && isRowByRow(value.value);
  const result = body.callForAll(weights, () => body.call(first.instance, first.fn, own, span), isResult);
  if (result === null || !isResult(result)) return result;
  const { dtype, shape } = result.value.type;
  const [, tokens] = scoreOf(choice).type.shape;
  const whole = shape.toSpliced(1, 1, tokens ?? 1, entrySize(choice));
  const value = body.emit("unsort_entries", [result.value, choice], sorting, typeOf(dtype, whole), span);
  return { kind: "tensor", value };
}

interface Sorting {
  /** The axis of sorted entries: of each token as many rows as it has entries. */
  readonly axis: string;
  readonly among: number;
}

/** Null where tokens differ in how many entries they have. */
function sortingOf(body: FunctionBody, choice: Choice, among: number): Sorting | null {
  const k = plainSize(body, entrySize(choice));
  const parent = sequenceOf(body, scoreOf(choice).type.shape[1] ?? 1);
  if (typeof k !== "number" || !parent || entriesOf(body, entrySize(choice))?.ragged) return null;
  const parts = Array.from({ length: k }, () => parent.name);
  const axis = body.makeAxis("E", parent.bound === null ? null : k * parent.bound, { kind: "join", parts });
  recordDefinition(body, axis, choice);
  return { axis, among };
}

/** The arguments, sorted; null where one has its tokens elsewhere than behind the batch. */
function argumentsOf(
  body: FunctionBody,
  choice: Choice,
  sorting: Sorting,
  args: ReadonlyMap<string, Argument>,
): ReadonlyMap<string, Argument> | null {
  const [, tokens] = scoreOf(choice).type.shape;
  const sorted = new Map<string, Argument>();
  for (const [name, arg] of args) {
    if (arg.value.kind !== "tensor") {
      sorted.set(name, arg);
      continue;
    }
    const x = arg.value.value;
    const dim = x.type.shape.findIndex((size) => equalSizes(size, tokens ?? -1));
    if (dim > 1) return null;
    const value = dim < 0 ? x : sortedValue(body, choice, sorting, x, arg.span);
    if (value === null) return null;
    sorted.set(name, { ...arg, value: { kind: "tensor", value } });
  }
  return sorted;
}

function sortedValue(body: FunctionBody, choice: Choice, sorting: Sorting, x: Value, span: Span): Value | null {
  const entries = entryDim(choice, x);
  // A dimension of 1 may be that of the one entry.
  const alone = entrySize(choice) === 1 && x.type.shape[2] === 1;
  if (alone || (entries !== null && entries !== 2)) return null;
  const shape: readonly Size[] = x.type.shape.toSpliced(1, entries === null ? 1 : 2, axisSize(sorting.axis));
  return body.emit(
    entries === null ? "sort_rows" : "sort_entries",
    [x, choice],
    sorting,
    typeOf(x.type.dtype, shape),
    span,
  );
}
