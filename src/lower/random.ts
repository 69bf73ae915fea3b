// Random values, keyed so that neither the batch row nor the batch size nor the length of other sequences changes them.
import type { LogicalType, Value } from "../check/model.js";
import type { Node } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong } from "./convert.js";
import { packedShape } from "./layout.js";

/** FNV-1a, 32 bits, of the text's UTF-8 bytes. */
export function streamHash(stream: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(stream)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** f32 of this logical shape, stored as its type demands. */
function random(cx: Lowering, op: "random_uniform" | "random_normal", type: LogicalType, stream: string): Placed {
  const seed = cx.emit("seed", [], {});
  const f32: LogicalType = { dtype: "f32", shape: type.shape };
  const hash = streamHash(stream);
  const [tokenDim, ...more] = cx.axes.sequenceDims(f32.shape);
  // Without tokens every sequence of the batch has the same values.
  if (tokenDim === undefined) return cx.placed(cx.emit(op, [seed], { shape: f32.shape, dim: null, stream: hash }), f32);
  const axis = cx.axes.sequenceOf(f32.shape[tokenDim])!;
  const stored = packedShape(f32.shape, tokenDim, axis);
  // A further sequence dimension comes first, so that its extent does not number the channels.
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
 * Each element is kept with probability 1 − p and scaled by 1 / (1 − p), so that its expectation stays (Srivastava et
 * al. 2014).
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

/** By operation. */
export const randomLowerings = {
  dropout: lowerDropout,
  random_normal: lowerRandomNormal,
  random_uniform: lowerRandomUniform,
};
