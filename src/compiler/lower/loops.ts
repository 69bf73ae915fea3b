// Recognizes loops over experts: `y = put(y, chosen[e], experts[e](take(x, chosen[e])) * …)` for one e after another
// becomes `sum(experts[chosen](x) * …, axis: -2)`, if the experts are alike and compute row by row.
import { addTo, readersOf } from "../../ground/base/collections.js";
import type { EntryChoice, LogicalAttrs, Model, Route, Value } from "../../language/check/model/model.js";
import { axesOfModel, reachable, rootsOf } from "../../language/check/model/model-values.js";
import { equalShapes, isChoice, isOp, typeOf, type AxisLookup } from "../../language/check/model/types.js";
import { plainAxis } from "../ir/typing.js";
import type { Axis } from "../../ground/size/axes.js";
import { equal } from "../../ground/numerics/rational.js";
import { parentsOf } from "../../ground/size/count-rules.js";
import { axesOfEntries, boundOfAll } from "../../language/check/tensors/entry-bounds.js";
import { sumOfTerms, type Term } from "./loop-rows.js";
import { amongOf, maskOfAll, Numbering, sourceOf, type EmitValue, type Source } from "./loop-routes.js";

/** The same model, with loops over experts replaced by calls that compute the rows of all experts together. */
export function withoutLoops(model: Model): Model {
  const values = reachable(rootsOf(model));
  const loops = loopsOf(values, new Set(rootsOf(model)), axesOfModel(model));
  if (loops.length === 0) return model;
  const rewritten = new RewrittenModel(model, values);
  for (const loop of loops) rewritten.roll(loop);
  return rewritten.finish();
}

/** Additions to one stream, in order, by routes of one choice. */
interface Chain {
  /** The stream before the first addition. */
  readonly base: Value;
  readonly source: Source;
  readonly terms: readonly Term[];
  /** The stream after the last addition. */
  readonly end: Value;
}

/** An addition of a route's rows to a stream. */
interface Addition {
  readonly base: Value;
  readonly route: Route;
  readonly rows: Value;
  /** The values that form the addition. */
  readonly by: readonly Value[];
}

/** put(x, route, rows), or x + put(zeros, route, rows); null for any other value. */
function additionOf(value: Value): Addition | null {
  const put = putOf(value);
  if (put) return { base: put.inputs[0]!, route: put.route, rows: put.rows, by: [value] };
  if (!isOp(value, "pointwise") || value.attrs.fn !== "add") return null;
  for (const [base, other] of [value.inputs, value.inputs.toReversed()]) {
    const added = other && putOf(other);
    if (base && added?.inputs[0]!.op === "zeros" && equalShapes(base.type.shape, value.type.shape))
      return { base, route: added.route, rows: added.rows, by: [value, other!] };
  }
  return null;
}

const putOf = (
  value: Value,
): { readonly inputs: readonly Value[]; readonly route: Route; readonly rows: Value } | null => {
  if (!isOp(value, "put") || value.attrs.dim !== 1) return null;
  const [x, route, rows] = value.inputs;
  if (!route || !isChoice(route) || !rows || rows.type.shape.length !== x!.type.shape.length) return null;
  return { inputs: value.inputs, route, rows };
};

/** Chains of at least two additions, each by routes of entries of one choice, in ascending order. */
function loopsOf(values: readonly Value[], roots: ReadonlySet<Value>, axes: AxisLookup): readonly Chain[] {
  if (values.filter((v) => putOf(v)).length < 2) return [];
  const readers = readersOf(values);
  const isReadOnce = (value: Value): boolean => readers.get(value)?.length === 1 && !roots.has(value);
  const chains: Chain[] = [];
  const seen = new Set<Value>();
  for (const value of values.toReversed()) {
    if (seen.has(value)) continue;
    const additions: { readonly end: Value; readonly addition: Addition }[] = [];
    for (let end = value; ;) {
      const addition = additionOf(end);
      if (!addition || !addition.by.slice(1).every(isReadOnce)) break;
      additions.unshift({ end, addition });
      for (const part of addition.by) seen.add(part);
      if (!isReadOnce(addition.base)) break;
      end = addition.base;
    }
    chains.push(...chainsOf(additions, axes));
  }
  if (chains.length === 0) return [];
  const byAxis = valuesByAxis(values);
  return chains
    .filter(({ terms }) => terms.every((t) => isReadOnlyByAddition(t, byAxis, readers, roots)))
    .sort((a, b) => a.end.id - b.end.id);
}

/** Splits the additions into runs by routes of one choice, in ascending order of entries. */
function chainsOf(
  additions: readonly { readonly end: Value; readonly addition: Addition }[],
  axes: AxisLookup,
): readonly Chain[] {
  const runs: Chain[] = [];
  for (const { end, addition } of additions) {
    const { base, route, rows } = addition;
    const entrySource = sourceOf(route, axes);
    if (!entrySource) continue;
    const term = { route, rows, entry: entrySource.entry };
    const last = runs.at(-1);
    const follows =
      last?.end === base &&
      isOneSource(last.source, entrySource.source) &&
      last.terms.at(-1)!.entry < entrySource.entry;
    if (follows) runs[runs.length - 1] = { ...last, terms: [...last.terms, term], end };
    else runs.push({ base, source: entrySource.source, terms: [term], end });
  }
  return runs.filter(({ terms }) => terms.length > 1);
}

function isOneSource(a: Source, b: Source): boolean {
  if (a.kind === "choice") return b.kind === "choice" && a.choice === b.choice;
  if (a.kind === "largest") return b.kind === "largest" && a.of === b.of;
  // Whether the masks are columns of one tensor is checked when the merged mask is built.
  return b.kind === "mask" && equal(a.expected, b.expected);
}

function valuesByAxis(values: readonly Value[]): ReadonlyMap<string, readonly Value[]> {
  const found = new Map<string, Value[]>();
  for (const value of values)
    for (const size of value.type.shape) {
      const axis = plainAxis(size);
      if (axis === null) continue;
      addTo(found, axis, value);
    }
  return found;
}

/** Whether only the addition reads the values computed on the route's axis. */
function isReadOnlyByAddition(
  { route, rows }: Term,
  byAxis: ReadonlyMap<string, readonly Value[]>,
  readers: ReadonlyMap<Value, readonly Value[]>,
  roots: ReadonlySet<Value>,
): boolean {
  const routed = new Set(byAxis.get(route.attrs.axis));
  return [...routed].every(
    (value) =>
      value === route ||
      (!roots.has(value) &&
        (readers.get(value) ?? []).every(
          (reader) => routed.has(reader) || (value === rows && putOf(reader)?.rows === rows),
        )),
  );
}

/** A model in which some values are replaced. */
class RewrittenModel {
  readonly #model: Model;
  readonly #axes: Axis[];
  readonly #numbering: Numbering;
  readonly #replaced = new Map<Value, Value>();
  readonly #largest = new Map<Value, EntryChoice>();
  readonly #routes: Route[] = [];

  constructor(model: Model, values: readonly Value[]) {
    this.#model = model;
    this.#axes = [...model.axes];
    this.#numbering = new Numbering(values);
  }

  roll({ base, source, terms, end }: Chain): void {
    let emitted = 0;
    // The new ids are smaller than the last addition's id and larger than all ids that the new values read.
    const emit: EmitValue = (op, inputs, attrs, type, like = end) => {
      const id = end.id - 1 / (++emitted + 1);
      return { id, op, inputs, attrs, type, span: like.span, path: like.path };
    };
    const choice = this.#choiceOf(source, terms, emit);
    const parent = choice && plainAxis(choice.type.shape[1]!);
    if (!choice || parent === null) return;
    const members = membersOf(terms);
    const among = Number(choice.inputs[0]!.type.shape[2]);
    const parts = axesOfEntries(choice, Number(choice.type.shape[2]), parent, terms.length === among);
    const bound = boundOfAll(parts.map((name) => this.#axes.find((a) => a.name === name)?.bound ?? null));
    const axis: Axis = { role: "sequence", name: this.#freeName(), bound, count: { kind: "join", parts } };
    // All loops over one choice belong to the same list.
    const sorting = { axis: axis.name, members, of: among, call: `loops ${choice.id}` };
    const sum = sumOfTerms(terms, { choice, sorting, numbering: this.#numbering, emit });
    if (!sum || !equalShapes(sum.type.shape, end.type.shape)) return;
    this.#axes.push(axis);
    const { type } = end;
    this.#routes.push(...terms.map((t) => t.route));
    this.#replaced.set(end, base.op === "zeros" ? sum : emit("pointwise", [base, sum], { fn: "add" }, type));
  }

  /** The choice from which the terms' routes come; null if there is no such choice. */
  #choiceOf(source: Source, terms: readonly Term[], emit: EmitValue): EntryChoice | null {
    if (source.kind === "choice") return source.choice;
    if (source.kind === "largest") return this.#largestOf(source.of, emit);
    const among = amongOf(terms[0]!.route);
    const mask = among === null ? null : maskOfAll(terms, among, this.#numbering, emit);
    const attrs = { expected: source.expected, choice: "" };
    return mask && emit("those_entries", [mask], attrs, typeOf("u32", mask.type.shape));
  }

  /** The top-1 choice of a tensor. */
  #largestOf(of: Value, emit: EmitValue): EntryChoice {
    let choice = this.#largest.get(of);
    if (!choice) {
      const type = typeOf("u32", of.type.shape.with(2, 1));
      this.#largest.set(of, (choice = emit("top_entries", [of], { k: 1, choice: "" }, type)));
    }
    return choice;
  }

  /** A free axis name, as the checker would name an axis of sorted entries. */
  #freeName(): string {
    const taken = new Set(this.#axes.map((a) => a.name));
    for (let n = 1; ; n++) {
      const name = n === 1 ? "E" : `E${n}`;
      if (!taken.has(name)) return name;
    }
  }

  finish(): Model {
    const model = this.#model;
    const current = (value: Value): Value => this.#replaced.get(value) ?? value;
    const reached = reachable(rootsOf(model).map(current), (value) => value.inputs.map(current));
    const copies = new Map<Value, Value>();
    const copyOf = (value: Value): Value => copies.get(current(value))!;
    for (const value of reached) {
      const inputs = value.inputs.map(copyOf);
      copies.set(value, inputs.every((v, i) => v === value.inputs[i]) ? value : { ...value, inputs });
    }
    const withCopies = <T extends { readonly value: Value }>(all: readonly T[]): readonly T[] =>
      all.map((t) => ({ ...t, value: copyOf(t.value) }));
    return {
      ...model,
      axes: this.#axesWith(copies),
      outputs: withCopies(model.outputs),
      losses: withCopies(model.losses),
      observes: withCopies(model.observes),
      updates: withCopies(model.updates),
    };
  }

  /** All axes except the axes of removed routes. */
  #axesWith(copies: ReadonlyMap<Value, Value>): readonly Axis[] {
    const gone = new Set(this.#routes.flatMap((route) => (copies.has(route) ? [] : [route.attrs.axis])));
    const remaining = this.#axes.filter((a) => !gone.has(a.name));
    const parents = new Set(remaining.flatMap((a) => (a.role === "sequence" ? parentsOf(a.count) : [])));
    return this.#axes.filter((a) => !gone.has(a.name) || parents.has(a.name));
  }
}

/** The entries of the terms, as ranges. */
function membersOf(terms: readonly Term[]): LogicalAttrs["sort_rows"]["members"] {
  const members: { first: number; count: number }[] = [];
  for (const { entry } of terms) {
    const last = members.at(-1);
    if (last && last.first + last.count === entry) last.count++;
    else members.push({ first: entry, count: 1 });
  }
  return members;
}
