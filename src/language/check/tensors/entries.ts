// Choices of entries: their mask and count, the route of the tokens that chose one entry, and entry axes as plain
// dimensions.
import type { Span } from "../../diagnostics/span.js";
import { invariant } from "../../../ground/base/invariant.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { isInteger, toNumber } from "../../../ground/numerics/rational.js";
import { axisSize, equalSizes, type Size } from "../../../ground/size/size.js";
import { ERROR, type ConstValue, type Emitter, type EvaluatedIndex } from "../model/context.js";
import type { EntryChoice as Choice, Route, Value } from "../model/model.js";
import { entriesOf, isOp, plainSize, sequenceOf, typeOf } from "../model/types.js";
import { describe, printType } from "../model/values.js";
import { expectedOfEach, shareOfEach } from "./entry-bounds.js";
import { recordDefinition } from "./makers.js";

export type { EntryChoice as Choice } from "../model/model.js";

/** The score or mask of a choice, i.e. the tensor along whose last axis the entries were chosen. */
export function scoreOf(choice: Choice): Value {
  return choice.inputs[0]!; // as both operations have
}

/** bool, of the score's shape: which entries are chosen. */
export const maskOf = (emitter: Emitter, choice: Choice, span: Span): Value =>
  emitter.emit("entry_mask", [choice], {}, typeOf("bool", scoreOf(choice).type.shape), span);

/** u32: the number of entries for each token. */
export const countOf = (emitter: Emitter, choice: Choice, span: Span): Value =>
  emitter.emit("entry_count", [choice], {}, typeOf("u32", scoreOf(choice).type.shape.slice(0, -1)), span);

/**
 * Replaces entry axes among these dimensions by plain numbers, which combine with any other dimension. Null, with a
 * report, if an axis is ragged. `how` names the operation for the report: `split`.
 */
export function plainAlong(emitter: Emitter, x: Value, dims: readonly number[], how: string, span: Span): Value | null {
  let plain = true;
  for (const dim of dims) {
    const axis = entriesOf(emitter, x.type.shape[dim] ?? 1);
    if (axis?.ragged) {
      emitter.report("ragged-axis", { axis: axis.name, how, entries: true }, span);
      return null;
    }
    if (axis) plain = false;
  }
  if (plain) return x;
  const shape = x.type.shape.map((size, dim) => (dims.includes(dim) ? plainSize(emitter, size) : size));
  return emitter.emit("reshape", [x], {}, typeOf(x.type.dtype, shape), span);
}

/** `plainAlong` every dimension. */
export const plainEverywhere = (emitter: Emitter, x: Value, how: string, span: Span): Value | null =>
  plainAlong(emitter, x, [...x.type.shape.keys()], how, span);

/** The routes of each choice, one per entry, so that two takes by `choice[e]` share an axis. */
const routes = new WeakMap<Value, Map<number, Route>>();

/** `choice[e]`: the route of the tokens that chose entry e. */
export function routeOfEntry(
  emitter: Emitter,
  choice: Choice,
  indices: readonly EvaluatedIndex[],
  span: Span,
): ConstValue {
  const [index, ...more] = indices;
  const among = entryCountOf(emitter, choice);
  if (among === null) {
    const found = printType(scoreOf(choice).type);
    const what = "an index of a choice";
    emitter.report("wrong-rank", { what, needs: "a choice for each token, made of f32[B, T, E]", found }, span);
    return ERROR;
  }
  if (index?.kind !== "at" || more.length > 0 || index.value.kind !== "number" || !isInteger(index.value.value)) {
    const problem =
      index?.kind === "at" && more.length === 0
        ? `${describe(index.value)} is not an index of a choice`
        : "a choice has one index";
    const hint =
      "`choice[e]`, e a whole number, is the route of the tokens that chose entry e; `choice.index` is a tensor";
    emitter.report("bad-index", { problem, hint }, span);
    return ERROR;
  }
  const at = toNumber(index.value.value);
  if (at >= among || at < -among) {
    emitter.report(
      "position-out-of-range",
      { index: at, extent: among, shape: printType(scoreOf(choice).type) },
      index.span,
    );
    return ERROR;
  }
  return { kind: "route", value: entryRoute(emitter, choice, at < 0 ? at + among : at, span) };
}

/** The number of entries among which each token chooses; null for a choice with another shape. */
export function entryCountOf(emitter: Emitter, choice: Choice): number | null {
  const [, tokens, entries, ...more] = scoreOf(choice).type.shape;
  if (tokens === undefined || entries === undefined || more.length > 0) return null;
  const among = plainSize(emitter, entries);
  return sequenceOf(emitter, tokens) !== null && typeof among === "number" ? among : null;
}

/** The route of the tokens that chose entry e, i.e. the tokens at which the mask of e is true. */
export function entryRoute(emitter: Emitter, choice: Choice, e: number, span: Span): Route {
  let known = routes.get(choice);
  if (!known) routes.set(choice, (known = new Map()));
  let route = known.get(e);
  if (!route) known.set(e, (route = makeRoute(emitter, choice, e, span)));
  return route;
}

/** The number of entries among which the choice is made. */
const amongOf = (emitter: Emitter, choice: Choice): number =>
  Number(plainSize(emitter, scoreOf(choice).type.shape[2] ?? 1));

/** The expected number of tokens, over all sequences, that choose one entry. */
export function expectedEntries(emitter: Emitter, choice: Choice): Size {
  const tokens = sequenceOf(emitter, scoreOf(choice).type.shape[1] ?? 1);
  return tokens === null ? 0 : expectedOfEach(choice, amongOf(emitter, choice), tokens.name);
}

function makeRoute(emitter: Emitter, choice: Choice, e: number, span: Span): Value<"those"> {
  const [batch, tokens] = scoreOf(choice).type.shape;
  const parent = sequenceOf(emitter, tokens ?? 1);
  const rows: readonly Size[] = [batch ?? 1, tokens ?? 1];
  const mask = maskOf(emitter, choice, span);
  const column = emitter.emit("slice", [mask], { axis: 2, start: e, stop: e + 1 }, typeOf("bool", [...rows, 1]), span);
  const hasEntry = emitter.emit("reshape", [column], {}, typeOf("bool", rows), span);
  const axis = makeRouteAxis(emitter, choice, parent);
  const route = emitter.emit("those", [hasEntry], { axis }, typeOf("u32", [rows[0] ?? 1, axisSize(axis)]), span);
  recordDefinition(emitter, axis, route);
  return route;
}

/**
 * The axis of a route: if entries choose tokens, with an entry's number of tokens; otherwise with a share of the
 * tokens.
 */
function makeRouteAxis(emitter: Emitter, choice: Choice, parent: SequenceAxis | null): string {
  const score = scoreOf(choice);
  if (isOp(score, "top_tokens")) {
    const chosen = emitter.axis(score.attrs.axis);
    invariant(chosen.role === "sequence", "tokens are chosen of a sequence");
    return emitter.makeAxis("K", chosen.bound, chosen.count);
  }
  const expected = shareOfEach(choice, amongOf(emitter, choice));
  return emitter.makeAxis("K", parent?.bound ?? null, { kind: "entry", parent: parent?.name ?? "", expected });
}

/** The last dimension of a choice: its entry axis, or 1. */
export const entrySize = (choice: Choice): Size => choice.type.shape.at(-1) ?? 1;

/** The dimension of a value along the choice's entry axis, or null. */
export function entryDim(choice: Choice, x: Value): number | null {
  const size = entrySize(choice);
  const dim = size === 1 ? -1 : x.type.shape.findIndex((s) => equalSizes(s, size));
  return dim < 0 ? null : dim;
}
