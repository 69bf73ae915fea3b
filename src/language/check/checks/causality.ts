// Checks the causal rule: in phase generate no token of a sequence that grows may depend on later ones, so operations
// that read later tokens are refused. The sequence of the entered function's result grows. Other sequences of the
// inputs are given: whole when the prompt is read, so operations on them alone may do anything.
import type { DataOf } from "../../diagnostics/catalogue.js";
import type { Note } from "../../diagnostics/diagnostic.js";
import { parentsOf, sizesOf } from "../../../ground/size/count-rules.js";
import { atomsOf } from "../../../ground/size/size.js";
import { axesOfModel, reachable, type ReportAt } from "../model/model-values.js";
import type { LogicalOp, Model, Value } from "../model/model.js";
import { leavesOf, pairInputs, pairPart, type Attending } from "../model/pairs.js";
import { operations, type Lengths } from "../model/operations.js";
import { axisName, isOp, sequenceOf, type AxisLookup } from "../model/types.js";

/**
 * Reports each value that breaks the causal rule. Losses, and values that only losses read, are exempt. In an objective
 * this exempts what its own body computes from the results of the functions it calls; `madeInCall` tells which values a
 * called function computed.
 */
export function checkCausality(model: Model, reportAt: ReportAt, madeInCall: (value: Value) => boolean): void {
  if (model.phase !== "generate") return;
  const { results, observed } = readByOthers(model, madeInCall);
  const axes = axesOfModel(model);
  const lengths = lengthsOf(model, axes, results);
  const read = reachable([...results, ...observed], readFrom);
  const pairs = new Set(read.flatMap((value) => (isAttending(value) ? pairsReadBy(value) : [])));
  for (const value of read) {
    if (operations[value.op].tokens === "choice") {
      if ([value, ...value.inputs].some(({ type }) => type.shape.some(lengths.along)))
        reportAt(value, "non-causal-choice", isOp(value, "top_tokens") ? { entries: true } : {});
      continue;
    }
    const what = readsAhead(value, lengths);
    if (what === null) continue;
    const notes = givenFromGrowing(value, lengths, axes);
    const remedy = notes.length > 0 ? "given" : remedyFor(value, pairs);
    reportAt(value, "non-causal-op", { what, remedy }, value.span, notes);
  }
}

/** What the hint proposes. `pairs`: the values from which masks and biases are made. */
function remedyFor(value: Value, pairs: ReadonlySet<Value>): DataOf<"non-causal-op">["remedy"] {
  if (isAttending(value)) return pairInputs(value).mask ? "causal with a mask" : "causal";
  if (isOp(value, "shift")) return "later";
  if (isOp(value, "scan")) return "reverse";
  return pairs.has(value) ? "pairs" : null;
}

/** If a value along a given sequence reads one that grows: a note at the latter. */
function givenFromGrowing(value: Value, { along }: Lengths, axes: AxisLookup): readonly Note[] {
  const { shape } = value.type;
  if (shape.some(along)) return [];
  const given = shape.map((size) => sequenceOf(axes, size)).find((axis) => axis !== null);
  const grown = value.inputs.find(({ type }) => type.shape.some(along));
  if (!given || !grown) return [];
  const growing = sequenceOf(axes, grown.type.shape.find(along)!)!;
  return [{ text: `${growing.name} grows with the text, and ${given.name} is given before it`, span: grown.span }];
}

const isAttending = (value: Value): value is Attending =>
  isOp(value, "attention") || isOp(value, "pair_attention") || isOp(value, "mass");

/** The inputs of a value; for an attention's mask and bias, the values from which its pairs are made. */
function readFrom(value: Value): readonly Value[] {
  if (!isAttending(value)) return value.inputs;
  const { rows, weight } = pairInputs(value);
  return [...rows, ...(weight ? [weight] : []), ...pairsReadBy(value)];
}

/** The values from which an attention's mask and bias are made. */
function pairsReadBy(value: Attending): readonly Value[] {
  const { rows, mask, bias } = pairInputs(value);
  const [query, key] = rows.map((x) => axisName(x.type.shape.at(-2) ?? 1) ?? "");
  return [mask, bias].flatMap((x) => (x ? [...leavesOf(pairPart(x, { query: query ?? "", key: key ?? "" }))] : []));
}

/** The values that must be causal: results and observed values; in an objective, values from called functions. */
function readByOthers(
  model: Model,
  madeInCall: (value: Value) => boolean,
): { readonly results: readonly Value[]; readonly observed: readonly Value[] } {
  const observed = model.observes.map((o) => o.value);
  if (model.entry === "forward") return { results: model.outputs.map((o) => o.value), observed };
  const ownLosses = model.losses.filter((l) => l.own).map((l) => l.value);
  const read = reachable(ownLosses, (v) => (madeInCall(v) ? [] : v.inputs)).filter(madeInCall);
  return { results: read, observed };
}

/** A clause that describes how a value reads later tokens; null if it does not. */
function readsAhead<K extends LogicalOp>(value: Value<K>, lengths: Lengths): string | null {
  const { tokens } = operations[value.op];
  const clause = typeof tokens === "function" ? tokens(value, lengths) : null;
  if (isOp(value, "input") && value.type.shape.filter(lengths.along).length > 1)
    return "this input has a value for each pair of tokens";
  return clause ?? (pairsTokens(value, lengths) ? "this pairs each token with all others" : null);
}

/**
 * Whether broadcasting pairs tokens, as of [B, T, 1] with [B, 1, T]: the result has two sequence dimensions and no
 * input does.
 */
function pairsTokens(value: Value, { along }: Lengths): boolean {
  const count = (v: Value): number => v.type.shape.filter(along).length;
  return count(value) > 1 && value.inputs.length > 0 && value.inputs.every((i) => count(i) < 2);
}

/** Which sizes are along a sequence that grows, if those of the results do. */
function lengthsOf(model: Model, axes: AxisLookup, results: readonly Value[]): Lengths {
  const grown = growingAxes(model, axes, results);
  return {
    along(size) {
      const axis = size === undefined ? null : sequenceOf(axes, size);
      return axis !== null && grown.has(axis.name);
    },
    mentions: (size) => [...atomsOf(size)].some((a) => a.kind !== "live" && grown.has(a.axis)),
  };
}

/**
 * The sequence axes that grow: those of the inputs on which the results lie, and the axes that derive from them. If no
 * result lies along a sequence, all are.
 */
export function growingAxes(model: Model, axes: AxisLookup, results: readonly Value[]): ReadonlySet<string> {
  const sequences = model.axes.flatMap((axis) => (axis.role === "sequence" ? [axis] : []));
  const roots = new Set<string>();
  for (const { type } of results)
    for (const size of type.shape) {
      const axis = sequenceOf(axes, size);
      // The set grows during the loop.
      const from = new Set(axis ? [axis.name] : []);
      for (const name of from) {
        const { count } = sequences.find((a) => a.name === name)!; // an axis of the model
        if (count.kind === "input") roots.add(name);
        for (const parent of parentsOf(count)) from.add(parent);
      }
    }
  const grown = new Set<string>();
  const grows = (name: string): boolean => grown.has(name);
  for (const { name, count } of sequences) {
    const own = count.kind === "input" && (roots.size === 0 || roots.has(name));
    const mentioned = sizesOf(count).flatMap((size) =>
      [...atomsOf(size)].flatMap((a) => (a.kind === "live" ? [] : [a.axis])),
    );
    if (own || [...parentsOf(count), ...mentioned].some(grows)) grown.add(name);
  }
  return grown;
}
