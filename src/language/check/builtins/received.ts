// `received`: the amount of attention that each token receives.
import { ERROR, type Builtin } from "../model/context.js";
import { toOperands } from "../tensors/operators.js";
import { typeOf } from "../model/types.js";
import { boolArg, floatArg, integerArg, numberArg } from "./arguments.js";
import { attentionShape, mergedHeads } from "./attention.js";
import { PAIR_PARAMS, pairArgs, readsPairs } from "./pairs.js";
import { receivedOfPairs } from "./received-pairs.js";

export const received: Builtin = {
  params: [
    { name: "q" },
    { name: "k" },
    { name: "causal", optional: true, named: true },
    { name: "window", optional: true, named: true },
    { name: "scale", optional: true, named: true },
    ...PAIR_PARAMS.filter(({ name }) => name !== "weight"),
  ],
  doc:
    "received(q: float[B, H, T, d], k: float[B, G, S, d], causal: false, window: 0, scale: 1/√d, " +
    "mask: bool[B, H, T, S], bias: f32[B, H, T, S], cap: float) -> f32[B, H, S]\n" +
    "For each key, the sum of its attention shares over all queries that see the key; the other arguments are as " +
    "for `attention`. Use it to choose tokens: it has no gradient, and looks at all queries.",
  apply(emitter, args, span) {
    const [q, k] = [floatArg(emitter, args, "received", "q"), floatArg(emitter, args, "received", "k")];
    const causal = boolArg(emitter, args, "received", "causal", false);
    const window = integerArg(emitter, args, "received", "window", 0, 0);
    const scale = args.has("scale") ? numberArg(emitter, args, "received", "scale", 1) : undefined;
    if (!q || !k || causal === null || window === null || scale === null) return ERROR;
    const operands = [q, k].map((value) => ({ kind: "tensor", value }) as const);
    if (!toOperands(emitter, "`received`", operands, span)) return ERROR;
    const compares = causal ? "`causal: true`" : window > 0 ? "`window`" : null;
    if (!attentionShape(emitter, "received", q, k, k, args, compares, span)) return ERROR;
    const shape = [...q.type.shape.slice(0, -2), k.type.shape.at(-2) ?? 1];
    const [heads, keys] = shape.length <= 3 ? [q, k] : [q, k].map((value) => mergedHeads(emitter, value, span));
    const flat = heads && [...heads.type.shape.slice(0, -2), k.type.shape.at(-2) ?? 1];
    if (!heads || !keys || !flat) return ERROR;
    const attrs = { causal, window, scale: scale ?? null };
    const pairs = readsPairs(args) ? pairArgs(emitter, "received", args, q, k) : undefined;
    if (pairs === null) return ERROR;
    const value = pairs
      ? receivedOfPairs(emitter, heads, keys, attrs, pairs, span)
      : emitter.emit("received", [heads, keys], attrs, typeOf("f32", flat), span);
    return {
      kind: "tensor",
      value: shape.length <= 3 ? value : emitter.emit("reshape", [value], {}, typeOf("f32", shape), span),
    };
  },
};
