// Lowers random values. Their keys do not depend on the batch row, the batch size or the lengths of other sequences.
import type { LogicalType, Value } from "../../language/check/model/model.js";
import type { Node } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong } from "./convert.js";
import { packedShape } from "./layout.js";

/** 32-bit FNV-1a hash of the text's UTF-8 bytes. */
export function streamHash(stream: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(stream)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Random f32 values of this logical shape, stored as its type requires. */
function random(cx: Lowering, op: "random_uniform" | "random_normal", type: LogicalType, stream: string): Placed {
  const seed = cx.emit("seed", [], {});
  const f32: LogicalType = { dtype: "f32", shape: type.shape };
  const hash = streamHash(stream);
  const [tokenDim, ...more] = cx.axes.sequenceDims(f32.shape);
  // Without a token dimension all sequences of the batch have the same values.
  if (tokenDim === undefined) return cx.placed(cx.emit(op, [seed], { shape: f32.shape, dim: null, stream: hash }), f32);
  const axis = cx.axes.sequenceOf(f32.shape[tokenDim])!;
  const stored = packedShape(f32.shape, tokenDim, axis);
  // Move further sequence dimensions to the front: their extents must not influence the channel numbers.
  const first = more.map((d) => d - 1);
  const order = [...first, ...stored.flatMap((_, i) => (first.includes(i) ? [] : [i]))];
  const node = cx.emit(op, [seed, cx.positions(axis)], {
    shape: order.map((i) => stored[i]!),
    dim: order.indexOf(tokenDim - 1),
    stream: hash,
  });
  return fromPackedAlong(
    cx,
    cx.permute(
      node,
      order.map((_, i) => order.indexOf(i)),
    ),
    f32,
    tokenDim,
  );
}

const typed = (cx: Lowering, placed: Placed, type: LogicalType): Placed => ({
  ...placed,
  node: cx.cast(placed.node, type.dtype),
  type,
});

const lowerRandomUniform = (cx: Lowering, value: Value<"random_uniform">): Placed =>
  typed(cx, random(cx, "random_uniform", value.type, value.attrs.stream), value.type);

const lowerRandomNormal = (cx: Lowering, value: Value<"random_normal">): Placed =>
  typed(cx, random(cx, "random_normal", value.type, value.attrs.stream), value.type);

/**
 * Keeps each element with probability 1 − p and scales it by 1 / (1 − p), which preserves the expectation (Srivastava
 * et al. 2014).
 */
function lowerDropout(cx: Lowering, value: Value<"dropout">): Placed {
  const { p, stream } = value.attrs;
  const x = cx.get(value.inputs[0]);
  if (p <= 0) return x;
  const { dtype } = x.type;
  const zero = cx.constant(0, dtype);
  const dropped = (kept: Node): Placed => ({ ...x, node: kept });
  const uniform = random(cx, "random_uniform", x.type, stream).node;
  const keep = cx.emit("ge", [uniform, cx.constant(p, "f32")], {});
  const scaled = p >= 1 ? zero : cx.emit("mul", [x.node, cx.constant(1 / (1 - p), dtype)], {});
  return dropped(cx.emit("where", [keep, scaled, zero], {}));
}

export const randomLowerings = {
  dropout: lowerDropout,
  random_normal: lowerRandomNormal,
  random_uniform: lowerRandomUniform,
};
