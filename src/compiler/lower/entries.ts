// Lowers choices of entries. Except for its last axis, a score has the same axes as the choice, so that all tensors of
// a choice have the same storage layout.
import type { Value } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong, packedAlong } from "./convert.js";
import { packedShape, storedShape } from "./layout.js";
import { routeRows } from "./sequence.js";

function lowerTopEntries(cx: Lowering, value: Value<"top_entries">): Placed {
  const score = cx.get(value.inputs[0]);
  return cx.placed(cx.emit("top_entries", [score.node], value.attrs), value.type);
}

function lowerTopTokens(cx: Lowering, value: Value<"top_tokens">): Placed {
  const { axis } = value.attrs;
  const rule = cx.sequence(axis).count;
  invariant(rule.kind === "top", `axis ${axis} is not made by top`);
  const score = cx.get(value.inputs[0]).node;
  const selected = cx.emit("top_rows", [score, cx.starts(rule.parent), cx.starts(cx.countingAxis(rule))], { axis });
  cx.defineAxis(axis, { starts: cx.emit("pick", [selected], { result: 1 }), index: null });
  return cx.placed(cx.emit("pick", [selected], { result: 0 }), value.type);
}

function lowerThoseEntries(cx: Lowering, value: Value<"those_entries">): Placed {
  return cx.placed(
    cx.emit("those_entries", [cx.get(value.inputs[0]).node], { choice: value.attrs.choice }),
    value.type,
  );
}

/** A mask of existing entries: an index beyond the entries marks a missing entry. */
function exists(cx: Lowering, choice: Value): Node {
  const index = cx.get(choice).node;
  return cx.algebra(index).lt(index, cx.size(choice.inputs[0]!.type.shape.at(-1)!, "u32"));
}
const lowerExists = (cx: Lowering, value: Value<"entry_exists">): Placed =>
  cx.placed(exists(cx, value.inputs[0]!), value.type);

/** The index of a choice for its users: 0 for a missing entry. */
export function entryIndex(cx: Lowering, choice: Value): Placed {
  const placed = cx.get(choice);
  if (choice.op === "top_entries") return placed;
  return { ...placed, node: cx.algebra(placed.node).where(exists(cx, choice), placed.node, 0) };
}
const lowerIndex = (cx: Lowering, value: Value<"entry_index">): Placed => entryIndex(cx, value.inputs[0]!);

/** True at the chosen entries: 1 is added to zeros there. */
function lowerMask(cx: Lowering, value: Value<"entry_mask">): Placed {
  const index = cx.get(value.inputs[0]).node;
  const zeros = cx.constant(0, "u32", storedShape(value.type, cx.axes.packingOf(value.type)));
  const ones = cx.constant(1, "u32", typeOf(index).shape);
  return cx.placed(cx.cast(cx.emit("put_entries", [zeros, index, ones], {}), "bool"), value.type);
}

/** u32: the number of entries for each token. */
export function entryCount(cx: Lowering, choice: Value): Placed {
  const { shape } = choice.type;
  const type = { dtype: "u32", shape: shape.slice(0, -1) } as const;
  if (choice.op === "those_entries") {
    const chosen = cx.cast(exists(cx, choice), "u32");
    const axes = [typeOf(chosen).shape.length - 1];
    return cx.placed(cx.emit("sum", [chosen], { axes, keep: false }), type);
  }
  const k = Number(shape.at(-1)); // of fixed extent
  return cx.placed(cx.constant(k, "u32", storedShape(type, cx.axes.packingOf(type))), type);
}
const lowerCount = (cx: Lowering, value: Value<"entry_count">): Placed => entryCount(cx, value.inputs[0]!);

function lowerTake(cx: Lowering, value: Value<"take_entries">): Placed {
  const [x, choice] = [cx.get(value.inputs[0]), cx.get(value.inputs[1])];
  return cx.placed(cx.emit("take_entries", [x.node, choice.node], {}), value.type);
}

function lowerPut(cx: Lowering, value: Value<"put_entries">): Placed {
  const [x, choice, y] = [cx.get(value.inputs[0]), cx.get(value.inputs[1]), cx.get(value.inputs[2])];
  return cx.placed(cx.emit("put_entries", [x.node, choice.node, y.node], {}), value.type);
}

/** bool[M, k]: for each token of a route, which slot holds entry e. */
function isEntry(cx: Lowering, choice: Value, route: Value, e: number): Node {
  const index = cx.emit("take", [cx.get(choice).node, routeRows(cx, route)], { dim: 0 });
  return cx.algebra(index).eq(index, e);
}

/** Reshapes a condition [M, k] to the given rank: rows along dimension `row`, entries in the next dimension. */
function beside(cx: Lowering, condition: Node, row: number, rank: number): Node {
  const [rows, entries] = typeOf(condition).shape;
  const ones = (n: number): readonly Size[] => Array.from({ length: n }, () => 1);
  return cx.reshape(condition, [...ones(row), rows!, entries!, ...ones(rank - row - 2)]);
}

/** Booleans cannot be added, so they become 0 and 1. */
const addable = (cx: Lowering, node: Node): Node => (typeOf(node).dtype === "bool" ? cx.cast(node, "u32") : node);

function lowerTakeEntry(cx: Lowering, value: Value<"take_entry">): Placed {
  const { dim, entry } = value.attrs;
  const [x, choice, route] = value.inputs;
  const { node, row } = packedAlong(cx, cx.get(x), dim);
  const rows = addable(cx, cx.emit("take", [node, routeRows(cx, route!)], { dim: row }));
  const holdsEntry = beside(cx, isEntry(cx, choice!, route!, entry), row, typeOf(rows).shape.length);
  const entryRows = cx.algebra(rows).where(holdsEntry, rows, 0);
  const one = cx.emit("sum", [entryRows], { axes: [row + 1], keep: false });
  return fromPackedAlong(cx, cx.cast(one, value.type.dtype), value.type, dim);
}

/** Adds each entry's rows to zeros, at the entry's slot of its token. */
function lowerJoinEntries(cx: Lowering, value: Value<"join_entries">): Placed {
  const { dim } = value.attrs;
  const [choice, ...parts] = value.inputs;
  const axis = cx.axes.sequenceOf(value.type.shape[dim]);
  invariant(axis !== null, "entries lie behind the tokens that have them");
  const shape = packedShape(value.type.shape, dim, axis);
  const row = dim - 1;
  let joined = cx.constant(0, value.type.dtype === "bool" ? "u32" : value.type.dtype, shape);
  for (let e = 0; 2 * e < parts.length; e++) {
    const [route, y] = [parts[2 * e]!, parts[2 * e + 1]!];
    const rows = addable(cx, packedAlong(cx, cx.get(y), dim).node);
    const stored = typeOf(rows).shape;
    const apart = cx.reshape(rows, stored.toSpliced(row + 1, 0, 1));
    const holdsEntry = beside(cx, isEntry(cx, choice!, route, e), row, stored.length + 1);
    const placed = cx.broadcast(cx.algebra(apart).where(holdsEntry, apart, 0), shape.with(row, stored[row]!));
    joined = cx.emit("put", [joined, routeRows(cx, route), placed], { dim: row });
  }
  return fromPackedAlong(cx, cx.cast(joined, value.type.dtype), value.type, dim);
}

export const entryLowerings = {
  top_entries: lowerTopEntries,
  top_tokens: lowerTopTokens,
  those_entries: lowerThoseEntries,
  entry_exists: lowerExists,
  entry_index: lowerIndex,
  entry_mask: lowerMask,
  entry_count: lowerCount,
  take_entries: lowerTake,
  put_entries: lowerPut,
  take_entry: lowerTakeEntry,
  join_entries: lowerJoinEntries,
};
