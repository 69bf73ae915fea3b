// Lowers sizes used as values: computed on the host if equal for all sequences, else on the device from the counts.
import type { Value } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import type { Node } from "../ir/graph.js";
import { rational, toNumber } from "../../ground/numerics/rational.js";
import {
  addSizes,
  atomsOf,
  axisSize,
  liveSize,
  multiplySizes,
  rowsSize,
  sizeOf,
  type Atom,
  type Size,
  type SizeExpr,
} from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";

function lowerLength(cx: Lowering, value: Value<"length">): Placed {
  const { dtype } = value.type;
  invariant(dtype === "f32" || dtype === "u32" || dtype === "i32", `a length of dtype ${dtype}`);
  const { size } = value.attrs;
  if (!isPerSequence(cx, size)) return cx.placed(cx.reshape(cx.size(size, dtype), value.type.shape), value.type);
  const count = axisCount(cx, size, dtype);
  const node = count ?? cx.cast(perSequence(cx, size), dtype);
  return cx.placed(cx.reshape(node, value.type.shape), value.type);
}

const isPerSequence = (cx: Lowering, size: Size): boolean =>
  [...atomsOf(size)].some((a) => a.kind === "axis" && cx.axes.sequenceOf(axisSize(a.axis)) !== null);

/** A size that is just the count of an axis needs no arithmetic. */
function axisCount(cx: Lowering, size: Size, dtype: "f32" | "u32" | "i32"): Node | null {
  const axis = cx.axes.sequenceOf(size);
  return axis === null ? null : cx.cast(cx.counts(axis), dtype);
}

/**
 * The size for each sequence, f32[B] or f32[]. Integers are exact up to 2^24, and so are the quotients that `ceil`,
 * `floor` and `mod` round.
 */
function perSequence(cx: Lowering, size: Size): Node {
  if (!isPerSequence(cx, size)) return cx.size(size, "f32");
  const sum = (size as SizeExpr).terms.map((t) => {
    const coefficient = cx.constant(toNumber(t.coefficient), "f32");
    return t.atoms.reduce((product, { atom }) => op(cx, "mul", product, atomValue(cx, atom)), coefficient);
  });
  return sum.reduce((x, y) => op(cx, "add", x, y));
}

const op = (cx: Lowering, fn: "add" | "sub" | "mul" | "div" | "min" | "max", a: Node, b: Node): Node =>
  cx.emit(fn, [a, b], {});

function atomValue(cx: Lowering, atom: Atom): Node {
  switch (atom.kind) {
    case "axis": {
      const size = axisSize(atom.axis);
      return axisCount(cx, size, "f32") ?? cx.size(size, "f32");
    }
    case "rows":
      return cx.size(rowsSize(atom.axis), "f32");
    case "live":
      return cx.size(liveSize(atom.name), "f32");
    case "floor":
      return floorOfSize(cx, atom.args[0]!);
    // ⌈x⌉ = −⌊−x⌋; sizes are not negative, so rounding half away from zero is ⌊x + ½⌋.
    case "ceil":
      return op(cx, "sub", cx.constant(0, "f32"), floorOfSize(cx, multiplySizes(-1, atom.args[0]!)));
    case "round":
      return floorOfSize(cx, addSizes(atom.args[0]!, half));
    case "min":
      return atom.args.map((a) => perSequence(cx, a)).reduce((x, y) => op(cx, "min", x, y));
    case "max":
      return atom.args.map((a) => perSequence(cx, a)).reduce((x, y) => op(cx, "max", x, y));
    case "div":
      return op(cx, "div", perSequence(cx, atom.args[0]!), perSequence(cx, atom.args[1]!));
    case "mod": {
      const [a, b] = [perSequence(cx, atom.args[0]!), perSequence(cx, atom.args[1]!)];
      return op(cx, "sub", a, op(cx, "mul", b, floorDivide(cx, a, b)));
    }
    default:
      return atom satisfies never;
  }
}

const half: Size = sizeOf(rational(1, 2));

/** ⌊size⌋ in integers: the numerator over the common denominator, divided. */
function floorOfSize(cx: Lowering, size: Size): Node {
  const terms = typeof size === "number" ? [] : size.terms;
  const denominator = terms.reduce((d, t) => lcm(d, t.coefficient.den), 1n);
  return floorDivide(
    cx,
    perSequence(cx, multiplySizes(Number(denominator), size)),
    cx.constant(Number(denominator), "f32"),
  );
}

const lcm = (a: bigint, b: bigint): bigint => {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return (a / x) * b;
};

/** ⌊a / b⌋ in f32 for b > 0: the truncated quotient, corrected by its remainder, which is exact. */
function floorDivide(cx: Lowering, a: Node, b: Node): Node {
  const near = cx.emit("cast", [cx.emit("cast", [op(cx, "div", a, b)], { dtype: "i32" })], { dtype: "f32" });
  const rest = op(cx, "sub", a, op(cx, "mul", near, b));
  const below = cx.emit("cast", [cx.emit("lt", [rest, cx.constant(0, "f32")], {})], { dtype: "f32" });
  const above = cx.emit("cast", [cx.emit("ge", [rest, b], {})], { dtype: "f32" });
  return op(cx, "add", op(cx, "sub", near, below), above);
}

export const lengthLowerings = {
  length: lowerLength,
};
