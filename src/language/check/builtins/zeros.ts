// `zeros`: a zero tensor with another tensor's type.
import { ERROR, type Builtin } from "../context.js";
import { definitionsOf } from "../tensors/makers.js";
import { tensorArg } from "./arguments.js";

export const zeros: Builtin = {
  params: [{ name: "like", named: true }],
  doc:
    "zeros(like: any[...]) -> the type of like\n+0 everywhere (false for bool), whatever `like` holds; no gradient " +
    "flows to it.",
  apply(emitter, args, span) {
    const like = tensorArg(emitter, args, "zeros", "like");
    if (!like) return ERROR;
    const axes = [...new Set(like.type.shape.flatMap((size) => definitionsOf(emitter, size)))];
    return { kind: "tensor", value: emitter.emit("zeros", axes, {}, like.type, span) };
  },
};
