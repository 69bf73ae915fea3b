// Recurrences along the tokens of each sequence in ONNX. With caches they go on from a state of fixed size.
import type { Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { linearAttention } from "./linear-attention.js";
import { broadcast, cachesOn, elementOf, existing, type KeyCache, type Scope } from "./scope.js";
import { forward } from "./shapes.js";
import { mostRows, moved, summedUp } from "./shifts.js";

/** Pads with zeros before the first row, or behind the last, and cuts as many rows at the other end. */
function shift(cx: Scope, value: Value<"shift">): Name {
  const { at, axes } = cx;
  const { dim, by } = value.attrs;
  const [x] = value.inputs;
  const caches = cachesOn(cx, axes.sequenceOf(value.type.shape[dim])!);
  if (caches) return shiftOn(cx, caches, value);
  const { dtype, shape } = value.type;
  const rows = by > 0 ? cx.get(x!) : existing(cx, value.type, cx.get(x!));
  const isBool = elementOf(dtype) === "bool";
  const numbers = isBool ? at.cast(rows, "i64") : rows;
  const cut = moved(cx, numbers, shape.length, dim, by, axes.rows(axes.sequenceOf(shape[dim])!).length);
  return isBool ? at.cast(cut, "bool") : cut;
}

/** Puts the rows of earlier runs before the rows of this run, and keeps the last existing rows for the next run. */
function shiftOn(cx: Scope, caches: KeyCache, value: Value<"shift">): Name {
  const { at, axes, graph } = cx;
  const { dim, by } = value.attrs;
  const { shape } = value.type;
  const { counts, length } = axes.rows(axes.sequenceOf(shape[dim])!);
  const state = caches.state(value, "rows", shape.with(dim, by));
  const all = at.concat([state.past, cx.get(value.inputs[0]!)], dim);
  const [rows, back] = forward(cx, all, shape.length, dim);
  const places = (from: Name): Name => at.add(at.unsqueeze(at.range(graph.ints(by)), 0), at.unsqueeze(from, 1));
  state.keep(counts === null ? at.slice(all, length, null, dim) : back(at.rows(rows, places(counts))));
  return at.slice(all, graph.ints(0), length, dim);
}

function scan(cx: Scope, value: Value<"scan">): Name {
  const { at, graph, axes } = cx;
  const { dim, reverse } = value.attrs;
  const { shape } = value.type;
  const rank = shape.length;
  const [x, decay] = value.inputs;
  const axis = axes.sequenceOf(shape[dim])!;
  const most = mostRows(cx, axis, value.path);
  const { length } = axes.rows(axis);
  const own = existing(cx, value.type, cx.get(x!));
  const log = decay ? existing(cx, value.type, broadcast(cx, cx.get(decay), decay.type.shape, shape)) : null;
  const caches = cachesOn(cx, axis);
  if (caches === null) return summedUp(cx, own, log === null ? null : { log }, { rank, dim, length, most, reverse });
  const state = caches.state(value, "sum", shape.with(dim, 1));
  const first = graph.ints(...Array.from({ length: 2 * rank }, (_, i) => Number(i === dim)));
  const logs = log === null ? null : { log: graph.node("Pad", [log, first]) };
  const longer = { rank, dim, length: at.add(length, graph.ints(1)), most: most + 1, reverse };
  const sums = summedUp(cx, at.concat([state.past, own], dim), logs, longer);
  state.keep(at.slice(sums, graph.ints(-1), null, dim));
  return at.slice(sums, graph.ints(1), null, dim);
}

export const recurrenceEmitters = { shift, scan, linear_attention: linearAttention };
