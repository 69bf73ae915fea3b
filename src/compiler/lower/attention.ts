// Lowers attention, and the attention that each key receives.
import { exactly } from "../../ground/base/collections.js";
import type { Value } from "../../language/check/model/model.js";
import { typeOf } from "../ir/graph.js";
import { inputsFor } from "../ir/typing.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import type { Lowering, Placed } from "./context.js";
import { attentionScale, headsOf, rowsOf, rowsOfBoth } from "./attention-rows.js";
import { fromPackedAlong, packedAlong } from "./convert.js";
import { lowerPairAttention } from "./pairs.js";

function lowerAttention(cx: Lowering, value: Value<"attention">): Placed {
  if ([...cx.attentionsOfMasses.values()].includes(value)) return lowerPairAttention(cx, value);
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

function attrsOf(value: Value<"attention"> | Value<"received">): OpAttrs["attention"] {
  const { causal, window } = value.attrs;
  return { causal, window, scale: attentionScale(value) };
}

export const attentionLowerings = {
  attention: lowerAttention,
  received: lowerReceived,
};
