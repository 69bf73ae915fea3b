// Recurrences along the tokens of each sequence in ONNX.
import type { Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { boundOf } from "../outline.js";
import { broadcast, elementOf, existing, refuse, type Scope } from "./scope.js";

/** Pads with zeros before the first row, or behind the last, and cuts as many rows at the other end. */
function shift(cx: Scope, value: Value<"shift">): Name {
  const { at, axes } = cx;
  const { dim, by } = value.attrs;
  const [x] = value.inputs;
  if (cx.caches) refuse("earlier tokens, while generating,", value.path);
  const { dtype, shape } = value.type;
  const rows = by > 0 ? cx.get(x!) : existing(cx, value.type, cx.get(x!));
  const isBool = elementOf(dtype) === "bool";
  const numbers = isBool ? at.cast(rows, "i64") : rows;
  const cut = moved(cx, numbers, shape.length, dim, by, axes.rows(axes.sequenceOf(shape[dim])!).length);
  return isBool ? at.cast(cut, "bool") : cut;
}

/** `rows` moved by `by` rows along a dimension, which has `length` of them; zeros come in at the other end. */
function moved({ at, graph }: Scope, rows: Name, rank: number, dim: number, by: number, length: Name): Name {
  const pads = Array.from({ length: 2 * rank }, (_, i) => (i === dim + (by > 0 ? 0 : rank) ? Math.abs(by) : 0));
  const padded = graph.node("Pad", [rows, graph.ints(...pads)]);
  return by > 0 ? at.slice(padded, graph.ints(0), length, dim) : at.slice(padded, graph.ints(-by), null, dim);
}

/**
 * Doubles the rows that each row sums up, until they are all: y_t + exp(d_t) · y_(t−n) for n = 1, 2, 4, …, with d
 * summed up alike.
 */
function scan(cx: Scope, value: Value<"scan">): Name {
  const { at, graph, axes, model } = cx;
  const { dim, reverse } = value.attrs;
  const { shape } = value.type;
  const [x, decay] = value.inputs;
  if (cx.caches) refuse("a scan, while generating,", value.path);
  const name = axes.sequenceOf(shape[dim])!;
  const bound = boundOf(model);
  if (bound === null) return refuse("a scan of sequences without a longest length", value.path);
  const { length } = axes.rows(name);
  let sum = existing(cx, value.type, cx.get(x!));
  let log = decay ? existing(cx, value.type, broadcast(cx, cx.get(decay), decay.type.shape, shape)) : null;
  for (let n = 1; n < bound; n *= 2) {
    const by = reverse ? -n : n;
    const before = moved(cx, sum, shape.length, dim, by, length);
    sum = at.add(sum, log === null ? before : at.mul(graph.node("Exp", [log]), before));
    if (log !== null) log = at.add(log, moved(cx, log, shape.length, dim, by, length));
  }
  return sum;
}

const linearAttention = (_cx: Scope, value: Value<"linear_attention">): Name => refuse("linear attention", value.path);

export const recurrenceEmitters = { shift, scan, linear_attention: linearAttention };
