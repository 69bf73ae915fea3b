// The operands of attention on packed rows: heads, starts, positions, and the factor of scores.
import { invariant } from "../../ground/base/invariant.js";
import type { Value } from "../../language/check/model/model.js";
import { typeOf, type Node } from "../ir/graph.js";
import { multiplySizes, type Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { packedAlong } from "./convert.js";

export type Rows = ReturnType<typeof packedAlong>;

export const rowsOf = (cx: Lowering, x: Placed): Rows => packedAlong(cx, x, x.type.shape.length - 2);

/** [H, N, d]: leading dimensions are merged to the heads; without leading dimensions there is one head. */
export function headsOf(cx: Lowering, node: Node): Node {
  const { shape } = typeOf(node);
  const lead = shape.slice(0, -2).reduce((n: Size, s) => multiplySizes(n, s), 1);
  return cx.reshape(node, [lead, ...shape.slice(-2)]);
}

export const rowsOfBoth = (cx: Lowering, q: Rows, k: Rows): readonly Node[] => [
  cx.starts(q.axis),
  cx.starts(k.axis),
  cx.positions(q.axis),
  cx.positions(k.axis),
];

/** The factor of scores: 1/√d unless the source says another. */
export function attentionScale({ attrs, inputs }: Value<"attention" | "received" | "pair_attention" | "mass">): number {
  const width = inputs[0]?.type.shape.at(-1);
  invariant(typeof width === "number", "attention needs a static last dimension");
  return attrs.scale ?? 1 / Math.sqrt(width);
}
