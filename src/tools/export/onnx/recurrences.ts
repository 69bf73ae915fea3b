// Recurrences along the tokens of each sequence in ONNX.
import type { Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { elementOf, existing, refuse, type Scope } from "./scope.js";

/** Pads with zeros before the first row, or behind the last, and cuts as many rows at the other end. */
function shift(cx: Scope, value: Value<"shift">): Name {
  const { at, graph, axes } = cx;
  const { dim, by } = value.attrs;
  const [x] = value.inputs;
  if (cx.caches) refuse("earlier tokens, while generating,", value.path);
  const { dtype, shape } = value.type;
  const rows = by > 0 ? cx.get(x!) : existing(cx, value.type, cx.get(x!));
  const isBool = elementOf(dtype) === "bool";
  const numbers = isBool ? at.cast(rows, "i64") : rows;
  const pads = [...shape, ...shape].map((_, i) => (i === dim + (by > 0 ? 0 : shape.length) ? Math.abs(by) : 0));
  const padded = graph.node("Pad", [numbers, graph.ints(...pads)]);
  const length = axes.rows(axes.sequenceOf(shape[dim])!).length;
  const cut = by > 0 ? at.slice(padded, graph.ints(0), length, dim) : at.slice(padded, graph.ints(-by), null, dim);
  return isBool ? at.cast(cut, "bool") : cut;
}

export const recurrenceEmitters = { shift };
