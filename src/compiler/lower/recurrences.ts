// Lowers recurrences along a sequence axis: shifted rows and scans.
import type { Value } from "../../language/check/model/model.js";
import type { Lowering, Placed } from "./context.js";
import { inputsFor } from "../ir/typing.js";
import { broadcastToType, fromPackedAlong, packedAlong } from "./convert.js";

function lowerShift(cx: Lowering, value: Value<"shift">): Placed {
  const { dim, by } = value.attrs;
  const { node, row, axis } = packedAlong(cx, cx.get(value.inputs[0]), dim);
  return fromPackedAlong(cx, cx.emit("shift", [node, cx.starts(axis)], { dim: row, by }), value.type, dim);
}

function lowerScan(cx: Lowering, value: Value<"scan">): Placed {
  const { dim, reverse } = value.attrs;
  const { node, row, axis } = packedAlong(cx, cx.get(value.inputs[0]), dim);
  const decays = value.inputs.slice(1).map((decay) => {
    const spread = cx.placed(broadcastToType(cx, cx.get(decay), value.type), value.type);
    return packedAlong(cx, spread, dim).node;
  });
  const scanned = cx.emit("scan", inputsFor("scan", [node, cx.starts(axis), ...decays]), { dim: row, reverse });
  return fromPackedAlong(cx, scanned, value.type, dim);
}

export const recurrenceLowerings = { shift: lowerShift, scan: lowerScan };
