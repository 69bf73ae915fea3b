// `mass`: the logarithm of what softmax divides by.
import { ERROR, type Builtin } from "../model/context.js";
import { plainEverywhere } from "../tensors/entries.js";
import { toOperands } from "../tensors/operators.js";
import { typeOf } from "../model/types.js";
import { boolArg, floatArg, integerArg, numberArg, requiredArg } from "./arguments.js";
import { attentionShape, mergedHeads } from "./attention.js";
import { PAIR_PARAMS, pairArgs } from "./pairs.js";

export const mass: Builtin = {
  params: [
    { name: "q" },
    { name: "k" },
    { name: "causal", optional: true, named: true },
    { name: "window", optional: true, named: true },
    { name: "scale", optional: true, named: true },
    ...PAIR_PARAMS,
  ],
  doc:
    "mass(q: float[B, H, T, d], k: float[B, G, S, d], causal: false, window: 0, scale: 1/√d, weight: f32[B, S], " +
    "mask: bool[B, H, T, S], bias: f32[B, H, T, S], cap: float) -> f32[B, H, T]\n" +
    "log Σ weight · exp(score) over the keys that a query sees, as `attention` sees them: the logarithm of what its " +
    "softmax divides by. −1e30 for a query that sees no key. With an attention of the same operands it costs " +
    "nothing. A sink s is `sigmoid(mass(q, k, causal: true) - s)` as a factor of attention; two attentions merge " +
    "as one by `sigmoid(m1 - m2)`.",
  apply(emitter, args, span) {
    const [q, k] = ["q", "k"].map((name) => {
      const value = floatArg(emitter, args, "mass", name);
      return value && plainEverywhere(emitter, value, "attended along", requiredArg(args, name).span);
    });
    const causal = boolArg(emitter, args, "mass", "causal", false);
    const window = integerArg(emitter, args, "mass", "window", 0, 0);
    const scale = args.has("scale") ? numberArg(emitter, args, "mass", "scale", 1) : undefined;
    if (!q || !k || causal === null || window === null || scale === null) return ERROR;
    const operands = [q, k].map((value) => ({ kind: "tensor", value }) as const);
    if (!toOperands(emitter, "`mass`", operands, span)) return ERROR;
    const compares = causal ? "`causal: true`" : window > 0 ? "`window`" : null;
    if (!attentionShape(emitter, "mass", q, k, k, args, compares, span)) return ERROR;
    const pairs = pairArgs(emitter, "mass", args, q, k);
    if (!pairs) return ERROR;
    const shape = q.type.shape.slice(0, -1);
    const flat = shape.length <= 3 ? [q, k] : [q, k].map((value) => mergedHeads(emitter, value, span));
    const type = typeOf("f32", flat[0]?.type.shape.slice(0, -1) ?? shape);
    const attrs = { causal, window, scale: scale ?? null, ...pairs.attrs };
    const value = emitter.emit("mass", [...flat, ...pairs.inputs], attrs, type, span);
    return {
      kind: "tensor",
      value: shape.length <= 3 ? value : emitter.emit("reshape", [value], {}, typeOf("f32", shape), span),
    };
  },
};
