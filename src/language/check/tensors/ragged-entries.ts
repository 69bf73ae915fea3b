// Ragged entry axes, on which tokens differ in their number of entries: masks of the existing elements.
import type { Span } from "../../diagnostics/span.js";
import { axisSize, equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import type { Emitter } from "../model/context.js";
import type { EntryChoice, Route, Value } from "../model/model.js";
import { entriesOf, isChoice, isOp, isSequence, sequenceOf, typeOf } from "../model/types.js";
import { definitionsOf } from "./makers.js";

/** The dimensions of x along ragged entry axes. */
export const raggedDims = (emitter: Emitter, x: Value): readonly number[] =>
  x.type.shape.flatMap((size, dim) => (entriesOf(emitter, size)?.ragged ? [dim] : []));

/**
 * Masks of the existing elements of x along the ragged dimensions among `dims`. Each mask is a bool with the rank of x
 * and broadcasts to x. Null after a report, if the tokens that have the entries are unknown.
 */
export function existing(
  emitter: Emitter,
  x: Value,
  dims: readonly number[],
  how: string,
  span: Span,
): readonly Value[] | null {
  const along = raggedDims(emitter, x).filter((dim) => dims.includes(dim));
  const masks = along.map((dim) => existingAlong(emitter, x, dim, span));
  const unknown = along.find((_, i) => masks[i] === null);
  if (unknown === undefined) return masks.flatMap((value) => value ?? []);
  emitter.report("ragged-axis", { axis: printSize(x.type.shape[unknown] ?? 1), how, entries: true }, span);
  return null;
}

function existingAlong(emitter: Emitter, x: Value, dim: number, span: Span): Value | null {
  const [choice] = definitionsOf(emitter, x.type.shape[dim] ?? 1);
  if (!choice || !isEntryChoice(choice)) return null;
  const exists = emitter.emit("entry_exists", [choice], {}, typeOf("bool", choice.type.shape), span);
  const [, tokens] = choice.type.shape;
  if (tokens === undefined) return null;
  for (const [at, size] of x.type.shape.entries()) {
    const aligned = onAxis(emitter, exists, tokens, size, span);
    const placed = aligned && beside(emitter, aligned, x, at, dim, span);
    if (placed) return placed;
  }
  return null;
}

const isEntryChoice = (value: Value): value is EntryChoice =>
  isOp(value, "top_entries") || isOp(value, "those_entries");

/**
 * Gathers a value from the axis of `tokens` onto the axis `size`, by the routes between them; null if there are none.
 */
function onAxis(emitter: Emitter, whole: Value, tokens: Size, size: Size, span: Span): Value | null {
  const routes: Route[] = [];
  for (let at = size; !equalSizes(at, tokens);) {
    const axis = sequenceOf(emitter, at);
    const parent = axis && chosenFrom(axis.count);
    const [route] = axis ? definitionsOf(emitter, at) : [];
    if (parent === null || !route || !isChoice(route)) return null;
    routes.push(route);
    at = axisSize(parent);
  }
  return routes.reduceRight<Value>((value, route) => {
    const shape = value.type.shape.with(1, axisSize(route.attrs.axis));
    return emitter.emit("take", [value, route], { dim: 1 }, typeOf("bool", shape), span);
  }, whole);
}

/**
 * Reshapes [B, T, …, K] to the rank of x, with T at dimension `at`, K at `dim`, and 1 elsewhere. If there are
 * dimensions between T and K, x must have the same dimensions up to K.
 */
function beside(emitter: Emitter, own: Value, x: Value, at: number, dim: number, span: Span): Value | null {
  const { shape } = own.type;
  const between = shape.length - 3;
  const as = (value: Value, to: readonly Size[]): Value =>
    emitter.emit("reshape", [value], {}, typeOf("bool", to), span);
  const ones = (n: number): readonly Size[] => Array.from({ length: n }, () => 1);
  const rest = x.type.shape.length - 1 - dim;
  if (between > 0) {
    const same = at === 1 && dim === shape.length - 1 && shape.every((s, i) => equalSizes(s, x.type.shape[i] ?? -1));
    return same ? as(own, [...shape, ...ones(rest)]) : null;
  }
  const [batch, tokens, entries] = [shape[0] ?? 1, shape[1] ?? 1, shape[2] ?? 1];
  const sizes = ones(x.type.shape.length).with(0, batch).with(at, tokens).with(dim, entries);
  if (at < dim) return as(own, sizes);
  const turned = emitter.emit("permute", [own], { order: [0, 2, 1] }, typeOf("bool", [batch, entries, tokens]), span);
  return as(turned, sizes);
}

/** x with zeros for missing entries, as returned by a program. */
export function endInZeros(emitter: Emitter, x: Value, span: Span): Value {
  const masks = existing(emitter, x, raggedDims(emitter, x), "given back", span) ?? [];
  const zero = emitter.emit("number", [], { value: 0 }, typeOf(x.type.dtype, []), span);
  return masks.reduce(
    (value, exists) => emitter.emit("pointwise", [exists, value, zero], { fn: "where" }, x.type, span),
    x,
  );
}

/** Reports a reduction over tokens that keeps a ragged entry axis. */
export function keepsRagged(emitter: Emitter, x: Value, axes: readonly number[], span: Span): boolean {
  const keptDim = raggedDims(emitter, x).find((dim) => !axes.includes(dim));
  const overTokens = axes.some((dim) => dim === 0 || isSequence(emitter, x.type.shape[dim] ?? 1));
  if (keptDim === undefined || !overTokens) return false;
  const axis = printSize(x.type.shape[keptDim] ?? 1);
  emitter.report("ragged-axis", { axis, how: "kept where the tokens are reduced", entries: true }, span);
  return true;
}
