// Batches expert calls: blocks that differ only in their weights, and compute row by row, are called once, with a row
// for each entry. If a list contains blocks of several kinds, each kind is called once.
import { addTo } from "../../../ground/base/collections.js";
import type { Span } from "../../diagnostics/span.js";
import type { Fn } from "../../syntax/ast.js";
import { addSizes, axisSize, equalSizes, rowsSize, type Size } from "../../../ground/size/size.js";
import type { Argument, ConstValue } from "../model/context.js";
import type { LogicalAttrs, Value } from "../model/model.js";
import type { Instance, Binding, WeightRecord } from "../names/bindings.js";
import type { FunctionBody } from "../names/environment.js";
import { axesOfEntries, boundOfAll } from "../tensors/entry-bounds.js";
import { entryDim, entrySize, scoreOf, type Choice } from "../tensors/entries.js";
import { recordDefinition } from "../tensors/makers.js";
import { entriesOf, equalShapes, sequenceOf, typeOf } from "../model/types.js";
import { isRowByRow, isWithoutEffects } from "./row-by-row.js";
import { equal } from "../../../ground/numerics/rational.js";
import { instanceOf } from "../names/instance.js";

/** The function of a block in a list. */
export interface ExpertFunction {
  readonly instance: Instance;
  readonly fn: Fn;
}

type Members = LogicalAttrs["entry_members"]["members"];
type Sorting = LogicalAttrs["sort_rows"];

/** Blocks that differ only in their weights. */
interface Kind {
  readonly first: ExpertFunction;
  readonly members: Members;
  readonly weights: AlikeWeights;
}

/** If there are more kinds or ranges, blocks are called one by one, because each range needs a comparison for every entry. */
const MOST_RANGES = 64;

/** The joint result of one call per kind, and the number of rows computed. */
interface CalledAtOnce {
  readonly value: ConstValue;
  readonly rows: Size;
}

/**
 * Calls each kind of block once, and returns the joint result. Null if the blocks must be called separately.
 * `argumentsOf` returns the arguments of a function, or null after a report.
 */
export function callAtOnce(
  body: FunctionBody,
  choice: Choice,
  functions: readonly ExpertFunction[],
  argumentsOf: (called: ExpertFunction) => ReadonlyMap<string, Argument> | null,
  span: Span,
): CalledAtOnce | null {
  const kinds = kindsOf(functions);
  if (!kinds) return null;
  const calls: { readonly kind: Kind; readonly sorting: Sorting; readonly bound: ReadonlyMap<string, Argument> }[] = [];
  for (const kind of kinds) {
    const args = argumentsOf(kind.first);
    const sorting = args && sortingOf(body, choice, kind.members, functions.length, calls[0]?.sorting.call);
    const bound = sorting && sortedArguments(body, choice, sorting, args);
    if (!bound) return null;
    calls.push({ kind, sorting, bound });
  }
  const results: ConstValue[] = [];
  const call = (): ConstValue => {
    for (const { kind, bound } of calls) {
      const result = body.call(kind.first.instance, kind.first.fn, bound, span);
      if (result.kind === "error") return result;
      results.push(result);
    }
    return { kind: "list", items: results, broken: false };
  };
  const isUsable = (): boolean => results.every((r, i) => isRow(r, calls[i]!.sorting, choice)) && areAlike(results);
  const weights = new Map(kinds.flatMap((kind) => [...kind.weights]));
  const called = body.callForAll(weights, call, isUsable);
  if (called === null) return null;
  const rows = rowsOf(body, calls[0]!.sorting);
  if (called.kind === "error") return { value: called, rows };
  const parts = results.flatMap((r, i) => partOf(body, choice, r, calls[i]!.sorting, span) ?? []);
  const [first, ...more] = parts;
  if (!first) return null;
  const value = more.reduce((sum, part) => body.emit("pointwise", [sum, part], { fn: "add" }, first.type, span), first);
  return { value: { kind: "tensor", value }, rows };
}

/** The number of sorted entries, which is the same for all kinds. */
function rowsOf(body: FunctionBody, sorting: Sorting): Size {
  const axis = body.axis(sorting.axis);
  const parts = axis.role === "sequence" && axis.count.kind === "join" ? axis.count.parts : [];
  return parts.reduce((sum: Size, part) => addSizes(sum, rowsSize(part)), 0);
}

/**
 * The kinds among the blocks, each with its ranges in the list. Null if there are too many ranges, or a function has
 * effects.
 */
function kindsOf(functions: readonly ExpertFunction[]): readonly Kind[] | null {
  const lists: { readonly all: ExpertFunction[]; readonly members: { first: number; count: number }[] }[] = [];
  let ranges = 0;
  for (const [e, called] of functions.entries()) {
    let list = lists.find(({ all: [first] }) => isKindOf(first!, called));
    if (!list) {
      if (!isWithoutEffects(called.instance, called.fn)) return null;
      lists.push((list = { all: [], members: [] }));
    }
    list.all.push(called);
    const last = list.members.at(-1);
    if (last && last.first + last.count === e) last.count++;
    else if (++ranges > MOST_RANGES) return null;
    else list.members.push({ first: e, count: 1 });
  }
  const kinds = lists.flatMap(({ all, members }): Kind[] => {
    const weights = weightsOfKind(all, functions.length);
    return weights ? [{ first: all[0]!, members, weights }] : [];
  });
  return kinds.length === lists.length ? kinds : null;
}

/** The weights of each block of a kind. Weights shared by all blocks are left out. */
function weightsOfKind(all: readonly ExpertFunction[], among: number): AlikeWeights | null {
  const instances = all.map((f) => f.instance);
  const [first] = instances;
  if (!instances.every((i) => i === first)) return weightsOfAlike(instances);
  // A single block, possibly repeated: if it fills the whole list it computes every row; otherwise only the rows of its
  // entries.
  if (all.length === among) return new Map();
  const weights = weightsOfAlike([first!]);
  return weights && new Map([...weights].map(([weight]) => [weight, all.map(() => weight)]));
}

const isKindOf = (a: ExpertFunction, b: ExpertFunction): boolean =>
  a.fn === b.fn && weightsOfAlike([a.instance, b.instance]) !== null;

type TensorOf = Extract<ConstValue, { kind: "tensor" }>;

/** Whether the result has a row for each sorted entry, computed from this entry alone, or is zero. */
const isRow = (result: ConstValue, { axis }: Sorting, choice: Choice): result is TensorOf =>
  result.kind === "tensor" &&
  equalSizes(result.value.type.shape[1] ?? 1, axisSize(axis)) &&
  (result.value.op === "zeros" || isRowByRow(result.value, choice));

/** Whether all results have one type, except for the entry axis. */
function areAlike(results: readonly ConstValue[]): boolean {
  const types = results.flatMap((r) => (r.kind === "tensor" ? [r.value.type] : []));
  const [first] = types;
  return types.every((t) => t.dtype === first!.dtype && equalShapes(t.shape.slice(2), first!.shape.slice(2)));
}

/** The contribution of a kind's result to all entries, [B, T, k, …]; null if the result is zero. */
function partOf(body: FunctionBody, choice: Choice, result: ConstValue, sorting: Sorting, span: Span): Value | null {
  if (result.kind !== "tensor" || result.value.op === "zeros") return null;
  const { value } = result;
  const { dtype, shape } = value.type;
  const [, tokens] = scoreOf(choice).type.shape;
  const allEntries = typeOf(dtype, shape.toSpliced(1, 1, tokens ?? 1, entrySize(choice)));
  if (value.op !== "sort_rows") return body.emit("unsort_entries", [value, choice], sorting, allEntries, span);
  // The blocks return their input unchanged, so no sorting is needed.
  const lead = allEntries.shape.slice(0, 3);
  const ones = allEntries.shape.slice(3).map(() => 1);
  const { members } = sorting;
  const isMember = body.emit("entry_members", [choice], { members }, typeOf("bool", lead), span);
  const rowMask = body.emit("reshape", [isMember], {}, typeOf("bool", [...lead, ...ones]), span);
  const x = body.emit("reshape", [value.inputs[0]!], {}, typeOf(dtype, allEntries.shape.with(2, 1)), span);
  const none = body.emit("number", [], { value: 0 }, typeOf(dtype, []), span);
  return body.emit("pointwise", [rowMask, x, none], { fn: "where" }, allEntries, span);
}

/** Null if the choice is not made for each token. The axis of the first kind names the call. */
function sortingOf(body: FunctionBody, choice: Choice, members: Members, of: number, call?: string): Sorting | null {
  const size = entrySize(choice);
  const k = entriesOf(body, size)?.bound ?? size;
  const parent = sequenceOf(body, scoreOf(choice).type.shape[1] ?? 1);
  if (typeof k !== "number" || !parent) return null;
  const parts = axesOfEntries(choice, k, parent.name, members.reduce((n, { count }) => n + count, 0) === of);
  const bound = boundOfAll(parts.map((name) => body.axis(name).bound));
  const axis = body.makeAxis("E", bound, { kind: "join", parts });
  recordDefinition(body, axis, choice);
  return { axis, members, of, call: call ?? axis };
}

/** The arguments, sorted; null if the tokens of some argument are not its second dimension. */
function sortedArguments(
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
  // A dimension with size 1 may be the entry dimension of a choice with one entry.
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

type AlikeWeights = ReadonlyMap<WeightRecord, readonly WeightRecord[]>;

/**
 * For each weight of the first instance, the corresponding weights of all instances, in order. Null if the instances
 * differ in anything else. Weights shared by all instances are left out.
 */
function weightsOfAlike(instances: readonly Instance[]): AlikeWeights | null {
  const [first] = instances;
  if (first === undefined) return null;
  const weights = new Map<WeightRecord, WeightRecord[]>();
  for (const other of instances) {
    const pairs = new Pairs();
    if (!pairs.alike(first, other)) return null;
    for (const [weight, counterpart] of pairs.weights) addTo(weights, weight, counterpart);
  }
  // A weight shared by several instances does not belong to a single expert.
  if (instances.length > 1)
    for (const [weight, all] of weights) if (all.every((other) => other === weight)) weights.delete(weight);
  const complete = [...weights.values()].every((all) => all.length === instances.length);
  return complete ? weights : null;
}

class Pairs {
  readonly weights = new Map<WeightRecord, WeightRecord>();
  readonly #instances = new Map<Instance, Instance>();

  alike(a: Instance, b: Instance): boolean {
    const known = this.#instances.get(a);
    if (known) return known === b;
    this.#instances.set(a, b);
    return (
      a.decl === b.decl && a.file === b.file && this.#tables(a.params, b.params) && this.#tables(a.members, b.members)
    );
  }

  #tables(a: ReadonlyMap<string, Binding>, b: ReadonlyMap<string, Binding>): boolean {
    return a.size === b.size && [...a].every(([name, binding]) => this.#bindings(binding, b.get(name)));
  }

  #bindings(a: Binding, b: Binding | undefined): boolean {
    if (a.kind === "weight" && b?.kind === "weight") return this.#weightsAlike(a.weight, b.weight);
    if (a.kind === "value" && b?.kind === "value") return this.#values(a.value, b.value);
    return a.kind === b?.kind && (a.kind === "function" || a.kind === "block" || a.kind === "const");
  }

  #weightsAlike(a: WeightRecord, b: WeightRecord): boolean {
    this.weights.set(a, b);
    return a.decl === b.decl && a.dtype === b.dtype && a.shape.every((s, d) => s === b.shape[d]);
  }

  #values(a: ConstValue, b: ConstValue): boolean {
    if (a.kind === "instance" && b.kind === "instance")
      return this.alike(instanceOf(a.instance), instanceOf(b.instance));
    if (a.kind === "list" && b.kind === "list")
      return a.items.length === b.items.length && a.items.every((item, i) => this.#values(item, b.items[i]!));
    if (a.kind === "number" && b.kind === "number") return a.form === b.form && equal(a.value, b.value);
    if ((a.kind === "bool" && b.kind === "bool") || (a.kind === "string" && b.kind === "string"))
      return a.value === b.value;
    return a.kind === "none" && b.kind === "none";
  }
}
