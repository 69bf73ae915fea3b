// Merges the bodies of a loop over experts: if the experts are alike, each value is computed once for all experts'
// rows.
import type { EntryChoice, LogicalAttrs, LogicalType, Value } from "../../language/check/model/model.js";
import { isRowByRow } from "../../language/check/eval/row-by-row.js";
import { isOp, typeOf } from "../../language/check/model/types.js";
import { attrsKey } from "../ir/key.js";
import { axisSize, equalSizes, type Size } from "../../ground/size/size.js";
import { mergedOverEntries, type EmitValue, type Numbering, type EntryRoute } from "./loop-routes.js";

/** The rows that a loop iteration adds to the tokens of its entry. */
export interface Term extends EntryRoute {
  /** [B, K, …], on the axis of the route. */
  readonly rows: Value;
}

/** The facts about a loop. */
export interface Loop {
  readonly choice: EntryChoice;
  readonly sorting: LogicalAttrs["sort_rows"];
  readonly numbering: Numbering;
  readonly emit: EmitValue;
}

/** [B, T, …]: the sum of all terms; null if the terms differ in more than weights, or mix rows. */
export function sumOfTerms(terms: readonly Term[], loop: Loop): Value | null {
  const { choice, sorting, emit } = loop;
  const [first] = terms;
  if (!first) return null;
  const { dtype, shape } = first.rows.type;
  const [tokens, entries] = [choice.inputs[0]!.type.shape[1]!, choice.type.shape[2]!];
  const all = terms.map((t) => t.rows);
  const { values, gates } = withoutGates(all, terms, loop);
  const rows = new Rows(terms, loop).of(values);
  if (!rows || !isRowByRow(rows, choice)) return null;
  const ofEntries = (ofTokens: readonly Size[]): LogicalType =>
    typeOf(dtype, ofTokens.toSpliced(1, 1, tokens, entries));
  const unsorted = emit("unsort_entries", [rows, choice], sorting, ofEntries(rows.type.shape));
  const product = gates.reduce<Value>((p, gate) => {
    const factorShape = [...gate.type.shape, ...shape.slice(2).map(() => 1)];
    const factor = emit("reshape", [gate], {}, typeOf(dtype, factorShape));
    return emit("pointwise", [p, factor], { fn: "mul" }, ofEntries(shape));
  }, unsorted);
  return emit(
    "reduce",
    [product, ...existing(choice, product, emit)],
    { fn: "sum", axes: [2], keep: false },
    typeOf(dtype, shape.with(1, tokens)),
  );
}

/** A mask of existing entries, reshaped to broadcast over rows; empty if every token has all entries. */
function existing(choice: EntryChoice, rows: Value, emit: EmitValue): readonly Value[] {
  if (isOp(choice, "top_entries")) return [];
  const exists = emit("entry_exists", [choice], {}, typeOf("bool", choice.type.shape));
  const ones = rows.type.shape.slice(3).map(() => 1);
  return [emit("reshape", [exists], {}, typeOf("bool", [...choice.type.shape, ...ones]))];
}

/**
 * Splits off factors that are the gate of each token's entry. Returns the remaining values, and the gates [B, T, k]
 * from the innermost factor out.
 */
function withoutGates(
  values: readonly Value[],
  terms: readonly Term[],
  loop: Loop,
): { readonly values: readonly Value[]; readonly gates: readonly Value[] } {
  const [first] = values;
  if (!first || !values.every((v) => isOp(v, "pointwise") && v.attrs.fn === "mul")) return { values, gates: [] };
  for (const at of [1, 0] as const) {
    const factors = values.map((v) => v.inputs[at]!);
    const gate = gateOf(factors, terms, loop);
    if (!gate) continue;
    const others = values.map((v) => v.inputs[1 - at]!);
    const inner = withoutGates(others, terms, loop);
    return { values: inner.values, gates: [...inner.gates, gate] };
  }
  return { values, gates: [] };
}

/** The gate [B, T, k] that multiplies each token's entries, if each term has it as [B, K, 1, …]; otherwise null. */
function gateOf(values: readonly Value[], terms: readonly Term[], loop: Loop): Value | null {
  const taken: Value[] = [];
  for (const [i, value] of values.entries()) {
    if (value.type.shape.slice(2).some((size) => size !== 1)) return null;
    let at = value;
    while (isOp(at, "reshape")) at = at.inputs[0]!;
    if (!isOp(at, "take") || at.inputs[1] !== terms[i]!.route || at.attrs.dim !== 1) return null;
    taken.push(at.inputs[0]!);
  }
  return chosenOf(taken, terms, loop);
}

/**
 * [B, T, k]: for each entry of a token, the element of the entry's value. `values` has one value [B, T] for each term.
 */
function chosenOf(values: readonly Value[], terms: readonly Term[], { choice, numbering, emit }: Loop): Value | null {
  const among = choice.inputs[0]!.type.shape[2]!;
  if (values.every((v) => numbering.areSame(v, values[0]!))) return null;
  const entries = terms.map((t) => t.entry);
  const joined = mergedOverEntries(values, entries, among, numbering, emit);
  if (!joined) return null;
  // Gathering what the same choice scattered into zeros returns the scattered values.
  const [into, by, put] = joined.inputs;
  if (isOp(joined, "put_entries") && into!.op === "zeros" && by === choice) return put!;
  return emit("take_entries", [joined, choice], {}, typeOf(joined.type.dtype, choice.type.shape));
}

/** Merges values that are alike in all terms into one value over all rows. */
class Rows {
  readonly #terms: readonly Term[];
  readonly #loop: Loop;
  /** Merged values, keyed by the first term's value. */
  readonly #joined = new Map<Value, { readonly values: readonly Value[]; readonly all: Value | null }>();

  constructor(terms: readonly Term[], loop: Loop) {
    this.#terms = terms;
    this.#loop = loop;
  }

  of(values: readonly Value[]): Value | null {
    const [first] = values;
    if (!first) return null;
    const known = this.#joined.get(first);
    if (known) return known.values.every((v, i) => v === values[i]) ? known.all : null;
    const all = this.#make(first, values);
    this.#joined.set(first, { values, all });
    return all;
  }

  #make(first: Value, values: readonly Value[]): Value | null {
    const { numbering, emit } = this.#loop;
    if (values.every((v) => numbering.areSame(v, first))) return first;
    const { op, inputs, attrs, type } = first;
    if (!values.every((v) => v.op === op && v.inputs.length === inputs.length)) return null;
    if (!values.every((v, i) => this.#haveOneType(first, v, i))) return null;
    if (isOp(first, "weight")) return emit("expert_weight", values, {}, type, first);
    if (!values.every((v) => attrsKey(v.attrs) === attrsKey(attrs))) return null;
    if (isOp(first, "take")) return first.attrs.dim === 1 ? this.#taken(values) : null;
    const all: Value[] = [];
    for (const i of inputs.keys()) {
      const input = this.of(values.map((v) => v.inputs[i]!));
      if (!input) return null;
      all.push(input);
    }
    return emit(op, all, attrs, typeOf(type.dtype, this.#sizes(type.shape)), first);
  }

  #haveOneType(first: Value, own: Value, term: number): boolean {
    const [a, b] = [this.#axis(0), this.#axis(term)];
    return (
      first.type.dtype === own.type.dtype &&
      first.type.shape.length === own.type.shape.length &&
      first.type.shape.every((size, d) => equalSizes(equalSizes(size, a) ? b : size, own.type.shape[d]!))
    );
  }

  #axis(term: number): Size {
    return axisSize(this.#terms[term]!.route.attrs.axis);
  }

  #sizes(shape: readonly Size[]): readonly Size[] {
    const [rowsOfOne, all] = [this.#axis(0), axisSize(this.#loop.sorting.axis)];
    return shape.map((size) => (equalSizes(size, rowsOfOne) ? all : size));
  }

  /** Rows that each term gathers by its route. */
  #taken(values: readonly Value[]): Value | null {
    const { choice, sorting, numbering, emit } = this.#loop;
    if (!values.every((v, i) => v.inputs[1] === this.#terms[i]!.route)) return null;
    const from = values.map((v) => v.inputs[0]!);
    const [x] = from;
    const { dtype } = values[0]!.type;
    const type = typeOf(dtype, this.#sizes(values[0]!.type.shape));
    if (from.every((v) => numbering.areSame(v, x!))) return emit("sort_rows", [x!, choice], sorting, type);
    const chosen = chosenOf(from, this.#terms, this.#loop);
    if (!chosen) return null;
    const sorted = emit("sort_entries", [chosen, choice], sorting, typeOf(dtype, type.shape.slice(0, 2)));
    return type.shape.length === 2 ? sorted : emit("reshape", [sorted], {}, type);
  }
}
