// Lowers recurrences along a sequence axis: shifted rows.
import type { Value } from "../../language/check/model/model.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong, packedAlong } from "./convert.js";

function lowerShift(cx: Lowering, value: Value<"shift">): Placed {
  const { dim, by } = value.attrs;
  const { node, row, axis } = packedAlong(cx, cx.get(value.inputs[0]), dim);
  return fromPackedAlong(cx, cx.emit("shift", [node, cx.starts(axis)], { dim: row, by }), value.type, dim);
}

export const recurrenceLowerings = { shift: lowerShift };
