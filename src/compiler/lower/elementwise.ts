// Lowers sources, elementwise functions and reshapes.
import { exactly } from "../../ground/base/collections.js";
import type { Value } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import { inputsFor } from "../ir/typing.js";
import type { Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { alignedOperand, broadcastToType, fromPadded, masked, padded } from "./convert.js";
import { storedShape } from "./layout.js";
import { expertVectors, isOfExperts } from "./sorted.js";

export function lowerInput(cx: Lowering, value: Value<"input">): Placed & { readonly node: Node<"input"> } {
  const packing = cx.axes.packingOf(value.type);
  const node = cx.emit("input", [], {
    name: value.attrs.name,
    dtype: value.type.dtype,
    shape: storedShape(value.type, packing),
  });
  return { node, type: value.type, packing };
}

/** Weights and states are lowered alike: a training program makes states of both. */
function lowerWeight(cx: Lowering, value: Value<"weight" | "state">): Placed {
  const shape = value.type.shape.map((s) => {
    invariant(typeof s === "number", `weight ${value.attrs.path} has a shape that is not static`);
    return s;
  });
  return cx.placed(cx.emit("weight", [], { path: value.attrs.path, dtype: value.type.dtype, shape }), value.type);
}

function lowerPointwise(cx: Lowering, value: Value<"pointwise">): Placed {
  const packing = cx.axes.packingOf(value.type);
  const rank = value.type.shape.length;
  const operands = value.inputs.map((v) =>
    isOfExperts(v)
      ? expertVectors(cx, v, { node: cx.get(v).node, type: value.type, packing }, rank)
      : alignedOperand(cx, cx.get(v), rank, packing),
  );
  const safe = operands.map((node, i) =>
    packing === null && SINGULAR[value.attrs.fn] === i ? withoutZeros(cx, node, value.inputs[i]!) : node,
  );
  const node = cx.emit(value.attrs.fn, inputsFor(value.attrs.fn, safe), {});
  return { node: cx.broadcast(node, storedShape(value.type, packing)), type: value.type, packing };
}

/** The operand at whose zeros a function or its derivative is infinite. */
const SINGULAR: Readonly<Partial<Record<Value<"pointwise">["attrs"]["fn"], number>>> = {
  div: 1,
  log: 0,
  sqrt: 0,
  rsqrt: 0,
  pow: 0,
};

/**
 * Ones in the padding of a tensor with several sequence axes: it is read in gradients too, where an infinite derivative
 * times a cotangent of 0 would be NaN.
 */
function withoutZeros(cx: Lowering, node: Node, value: Value): Node {
  const { shape } = value.type;
  return cx.axes.hasBatch(shape) ? masked(cx, node, shape, cx.axes.sequenceDims(shape), 1) : node;
}

/** Lowers an elementwise operation that preserves the shape. */
function lowerPowi(cx: Lowering, value: Value<"powi">): Placed {
  const input = cx.get(value.inputs[0]);
  return { ...input, node: cx.emit("powi", [input.node], value.attrs) };
}

function lowerCast(cx: Lowering, value: Value<"cast">): Placed {
  const input = cx.get(value.inputs[0]);
  return { ...input, node: cx.cast(input.node, value.type.dtype), type: value.type };
}

function lowerStopGradient(cx: Lowering, value: Value<"stop_gradient">): Placed {
  const input = cx.get(value.inputs[0]);
  return { ...input, node: cx.emit("stop_gradient", [input.node], {}) };
}

function lowerStraight(cx: Lowering, value: Value<"straight">): Placed {
  const [hard, soft] = exactly(
    2,
    value.inputs.map((v) => cx.get(v)),
  );
  const node = cx.emit("straight", [cx.cast(hard.node, "f32"), soft.node], {});
  return { node, type: value.type, packing: soft.packing };
}

function lowerZeros(cx: Lowering, value: Value<"zeros">): Placed {
  const packing = cx.axes.packingOf(value.type);
  return {
    node: cx.constant(0, value.type.dtype, storedShape(value.type, packing)),
    type: value.type,
    packing,
  };
}

function lowerReshape(cx: Lowering, value: Value<"reshape">): Placed {
  const input = cx.get(value.inputs[0]);
  const packing = cx.axes.packingOf(value.type);
  invariant((input.packing === null) === (packing === null), "a reshape neither makes nor drops a sequence dimension");
  return { node: cx.reshape(input.node, storedShape(value.type, packing)), type: value.type, packing };
}

function lowerPermute(cx: Lowering, value: Value<"permute">): Placed {
  const input = cx.get(value.inputs[0]);
  // Expert matrices keep their stored order; `expertProduct` passes the transposition on to the kernel.
  if (isOfExperts(value)) return input;
  const { order } = value.attrs;
  invariant(!cx.axes.hasBatch(input.type.shape) || order[0] === 0, "the batch is moved from the front");
  const stored = input.packing ? order.slice(1).map((d) => d - 1) : order;
  return { node: cx.permute(input.node, stored), type: value.type, packing: cx.axes.packingOf(value.type) };
}

function lowerSlice(cx: Lowering, value: Value<"slice">): Placed {
  const input = cx.get(value.inputs[0]);
  const { axis, start, stop } = value.attrs;
  invariant(
    !cx.axes.isBatch(input.type.shape[axis]) && cx.axes.sequenceOf(input.type.shape[axis]) === null,
    "a slice along the batch or a sequence",
  );
  const stored = input.packing ? axis - 1 : axis;
  return {
    node: cx.emit("slice", [input.node], { axis: stored, start, stop }),
    type: value.type,
    packing: input.packing,
  };
}

function lowerConcat(cx: Lowering, value: Value<"concat">): Placed {
  const packing = cx.axes.packingOf(value.type);
  const { axis } = value.attrs;
  const parts = value.inputs.map((v) => {
    const part = cx.get(v);
    // Only the concatenated dimension may differ between the parts.
    return broadcastToType(cx, part, {
      dtype: part.type.dtype,
      shape: value.type.shape.map((s, i) => (i === axis ? part.type.shape[i]! : s)),
    });
  });
  return { node: cx.emit("concat", parts, { axis: packing ? axis - 1 : axis }), type: value.type, packing };
}

/**
 * Lowers table[indices]: `table` is shared by all rows. A negative index counts from the end; an out-of-range index
 * reads the nearest row.
 */
function lowerGather(cx: Lowering, value: Value<"gather">): Placed {
  const table = cx.get(value.inputs[0]);
  const indices = cx.get(value.inputs[1]);
  const asU32 = (node: Placed["node"]): Placed["node"] => rowNumbers(cx, node, table.type.shape[0]!);
  const packing = cx.axes.packingOf(value.type);
  if (packing && indices.packing)
    return { node: cx.emit("gather", [padded(cx, table), asU32(indices.node)], {}), type: value.type, packing };
  return fromPadded(cx, cx.emit("gather", [padded(cx, table), asU32(padded(cx, indices))], {}), value.type);
}

/** Converts signed indices to row numbers: i + rows for negative i, and 0 if that is still negative. */
function rowNumbers(cx: Lowering, indices: Node, rows: Size): Node {
  if (typeOf(indices).dtype !== "i32") return cx.cast(indices, "u32");
  const zero = cx.constant(0, "i32");
  const fromEnd = cx.emit("max", [cx.emit("add", [indices, cx.size(rows, "i32")], {}), zero], {});
  return cx.cast(cx.emit("where", [cx.emit("lt", [indices, zero], {}), fromEnd, indices], {}), "u32");
}

export const elementwiseLowerings = {
  live: (cx: Lowering, value: Value<"live">): Placed => cx.placed(cx.emit("live", [], value.attrs), value.type),
  number: (cx: Lowering, value: Value<"number">): Placed =>
    cx.placed(cx.constant(value.attrs.value, value.type.dtype), value.type),
  literal: (cx: Lowering, value: Value<"literal">): Placed =>
    cx.placed(cx.emit("literal", [], { ...value.attrs, shape: value.type.shape.map(Number) }), value.type),
  input: lowerInput,
  weight: lowerWeight,
  state: lowerWeight,
  pointwise: lowerPointwise,
  powi: lowerPowi,
  cast: lowerCast,
  stop_gradient: lowerStopGradient,
  straight: lowerStraight,
  zeros: lowerZeros,
  reshape: lowerReshape,
  permute: lowerPermute,
  slice: lowerSlice,
  concat: lowerConcat,
  gather: lowerGather,
};
