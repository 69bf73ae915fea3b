// `straight`: one tensor's value with another tensor's gradient.
import { ERROR, type Builtin } from "../context.js";
import { equalSizes } from "../../../ground/size/size.js";
import { reportMismatch, reportSizes } from "../tensors/broadcast.js";
import { equalShapes, typeOf } from "../types.js";
import { requiredArg, requireDtype, tensorArg } from "./arguments.js";

export const straight: Builtin = {
  params: [{ name: "hard" }, { name: "soft" }],
  doc:
    "straight(hard: bool[...] or f32[...], soft: f32[...]) -> f32[...]\nThe value of `hard` bit for bit, where true " +
    "is 1, with the gradient of `soft`: the whole gradient goes to `soft`, none to `hard` (the straight-through " +
    "estimator). Both have one shape.",
  apply(emitter, args, span) {
    const hard = tensorArg(emitter, args, "straight", "hard");
    const soft = tensorArg(emitter, args, "straight", "soft");
    if (!hard || !soft) return ERROR;
    const at = requiredArg(args, "soft").span;
    if (!requireDtype(emitter, hard, ["f32", "bool"], "straight", requiredArg(args, "hard").span)) return ERROR;
    if (!requireDtype(emitter, soft, ["f32"], "straight", at)) return ERROR;
    const { shape } = soft.type;
    if (!equalShapes(hard.type.shape, shape)) {
      const dim = hard.type.shape.findIndex((size, i) => !equalSizes(size, shape[i] ?? -1));
      const [x, y] = [hard.type.shape[dim] ?? 1, shape[dim] ?? 1];
      if (hard.type.shape.length === shape.length) reportSizes(emitter, "`straight`", hard.type, x, soft.type, y, at);
      else reportMismatch(emitter, "`straight`", hard.type, soft.type, at);
      return ERROR;
    }
    return { kind: "tensor", value: emitter.emit("straight", [hard, soft], {}, typeOf("f32", shape), span) };
  },
};
