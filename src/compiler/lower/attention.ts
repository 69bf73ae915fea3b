// Lowers attention, and the attention that each key receives.
import { exactly } from "../../ground/base/collections.js";
import { invariant } from "../../ground/base/invariant.js";
import type { Value } from "../../language/check/model/model.js";
import { typeOf, type Node } from "../ir/graph.js";
import { inputsFor } from "../ir/typing.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { multiplySizes, type Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong, packedAlong } from "./convert.js";

function lowerAttention(cx: Lowering, value: Value<"attention">): Placed {
  const [q, k, v] = exactly(
    3,
    value.inputs.slice(0, 3).map((x) => rowsOf(cx, cx.get(x))),
  );
  const weights = value.inputs.slice(3).map((x) => packedAlong(cx, cx.get(x), 1).node);
  const heads = [q, k, v].map((x) => headsOf(cx, x.node));
  const out = cx.emit(
    "attention",
    inputsFor("attention", [...heads, ...rowsOfBoth(cx, q, k), ...weights]),
    attrsOf(value),
  );
  const dim = value.type.shape.length - 2;
  const stored = [...typeOf(q.node).shape.slice(0, -1), value.type.shape[dim + 1]!];
  return fromPackedAlong(cx, cx.reshape(out, stored), value.type, dim);
}

function lowerReceived(cx: Lowering, value: Value<"received">): Placed {
  const [q, k] = exactly(
    2,
    value.inputs.map((x) => rowsOf(cx, cx.get(x))),
  );
  const heads = [q, k].map((x) => headsOf(cx, x.node));
  const out = cx.emit("received", inputsFor("received", [...heads, ...rowsOfBoth(cx, q, k)]), attrsOf(value));
  const stored = [...typeOf(q.node).shape.slice(0, -2), typeOf(k.node).shape.at(-2)!];
  return fromPackedAlong(cx, cx.reshape(out, stored), value.type, value.type.shape.length - 1);
}

type Rows = ReturnType<typeof packedAlong>;

const rowsOf = (cx: Lowering, x: Placed): Rows => packedAlong(cx, x, x.type.shape.length - 2);

/** [H, N, d]: leading dimensions are merged to the heads; without leading dimensions there is one head. */
function headsOf(cx: Lowering, node: Node): Node {
  const { shape } = typeOf(node);
  const lead = shape.slice(0, -2).reduce((n: Size, s) => multiplySizes(n, s), 1);
  return cx.reshape(node, [lead, ...shape.slice(-2)]);
}

const rowsOfBoth = (cx: Lowering, q: Rows, k: Rows): readonly Node[] => [
  cx.starts(q.axis),
  cx.starts(k.axis),
  cx.positions(q.axis),
  cx.positions(k.axis),
];

function attrsOf({ attrs, inputs }: Value<"attention"> | Value<"received">): OpAttrs["attention"] {
  const { causal, window, scale } = attrs;
  const width = inputs[0]?.type.shape.at(-1);
  invariant(typeof width === "number", "attention needs a static last dimension");
  return { causal, window, scale: scale ?? 1 / Math.sqrt(width) };
}

export const attentionLowerings = {
  attention: lowerAttention,
  received: lowerReceived,
};
