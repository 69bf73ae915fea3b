// `rope` by angles that are values: each half of the last axis is turned by sines and cosines, as written out.
import type { Span } from "../../diagnostics/span.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import type { ConstValue, Emitter } from "../model/context.js";
import { ERROR } from "../model/context.js";
import type { Value } from "../model/model.js";
import { equalShapes, sequenceOf, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { floatArg, numberArg, requiredArg, type Args } from "./arguments.js";

/** x, whose sequence is along `dim`, turned by `angles`: f32[B, T, width / 2]. */
export function ropeByAngles(
  emitter: Emitter,
  args: Args,
  x: Value,
  dim: number,
  width: number,
  span: Span,
): ConstValue {
  const angles = floatArg(emitter, args, "rope", "angles");
  const scale = numberArg(emitter, args, "rope", "scale", 1);
  const at = requiredArg(args, "angles").span;
  const other = ["theta", "frequencies"].find((name) => args.has(name));
  if (other !== undefined) {
    const found = `\`${other}\` too`;
    emitter.report("wrong-operand", { what: "`rope`", needs: "`angles` alone", found }, requiredArg(args, other).span);
    return ERROR;
  }
  if (!angles || scale === null || !liesBesideTokens(emitter, x, angles, dim, width, at)) return ERROR;
  const { dtype, shape } = x.type;
  const wide = shape.map((size, i): Size => (i === 0 || i === dim ? size : 1)).with(shape.length - 1, width / 2);
  const beside = emitter.emit("reshape", [angles], {}, typeOf(angles.type.dtype, wide), span);
  const half = typeOf(dtype, shape.with(shape.length - 1, width / 2));
  const combined = (fn: "mul" | "add" | "sub", a: Value, b: Value, type = half): Value =>
    emitter.emit("pointwise", [a, b], { fn }, type, span);
  const turn = (fn: "cos" | "sin"): Value => {
    const { type } = beside;
    const plain = emitter.emit("pointwise", [beside], { fn }, type, span);
    const factor = emitter.emit("number", [], { value: scale }, typeOf(type.dtype, []), span);
    const scaled = scale === 1 ? plain : combined("mul", plain, factor, type);
    return type.dtype === dtype ? scaled : emitter.emit("cast", [scaled], {}, typeOf(dtype, type.shape), span);
  };
  const part = (start: number): Value =>
    emitter.emit("slice", [x], { axis: shape.length - 1, start, stop: start + width / 2 }, half, span);
  const [first, second, cos, sin] = [part(0), part(width / 2), turn("cos"), turn("sin")];
  const halves = [
    combined("sub", combined("mul", first, cos), combined("mul", second, sin)),
    combined("add", combined("mul", second, cos), combined("mul", first, sin)),
  ];
  return { kind: "tensor", value: emitter.emit("concat", halves, { axis: shape.length - 1 }, x.type, span) };
}

/** Checks that there is one angle for each token and pair of dimensions. */
function liesBesideTokens(emitter: Emitter, x: Value, angles: Value, dim: number, width: number, at: Span): boolean {
  const needed = [x.type.shape[0] ?? 1, x.type.shape[dim] ?? 1, width / 2];
  const { shape } = angles.type;
  if (equalShapes(shape, needed)) return true;
  const own = sequenceOf(emitter, shape[1] ?? 1);
  const isElsewhere = shape.length === 3 && own !== null && !equalShapes([shape[1] ?? 1], [needed[1] ?? 1]);
  const reason = isElsewhere
    ? `the angles lie on ${printSize(shape[1] ?? 1)}, the tokens on ${printSize(needed[1] ?? 1)}`
    : "`angles` has one number for each token and pair of dimensions, f32[B, T, d/2]";
  const data = { what: "`angles` of `rope`", left: printType(x.type), right: printType(angles.type), reason };
  emitter.report("shape-mismatch", { ...data, ...(isElsewhere && { hint: TAKE }) }, at);
  return false;
}

const TAKE = "where a route lies between, `take` the angles too";
