// Lowers recurrences along a sequence axis: shifted rows, scans and linear attention.
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

function lowerLinearAttention(cx: Lowering, value: Value<"linear_attention">): Placed {
  const { decays, forgets, scale } = value.attrs;
  const dim = value.type.shape.length - 2;
  const { shape } = value.type;
  const rows = value.inputs.map((x) => {
    const operand = cx.get(x);
    // One decay for all tokens.
    const ofTokens = { dtype: x.type.dtype, shape: [shape[0]!, 1, shape[dim]!] };
    const isOne = x.type.shape.length === 0;
    return packedAlong(cx, isOne ? cx.placed(broadcastToType(cx, operand, ofTokens), ofTokens) : operand, dim);
  });
  const [q, k, v, ...more] = rows.map(({ node }) => node);
  const starts = cx.starts(rows[0]!.axis);
  const attended = cx.emit("linear_attention", inputsFor("linear_attention", [q!, k!, v!, starts, ...more]), {
    scale,
    decays,
    forgets,
  });
  return fromPackedAlong(cx, attended, value.type, dim);
}

export const recurrenceLowerings = { shift: lowerShift, scan: lowerScan, linear_attention: lowerLinearAttention };
