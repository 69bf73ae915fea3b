// Tensors of the reference evaluation: numeric shapes, broadcasting, and rounding to a dtype.
import { countOf } from "../../ground/base/collections.js";
import { invariant } from "../../ground/base/invariant.js";
import type { DType, ReducedType } from "../../ground/base/dtype.js";
import { roundToBf16 } from "../../ground/base/bf16.js";
import { roundToF16 } from "../../ground/base/f16.js";
import type { Size } from "../../ground/size/size.js";
import type { EvaluateContext, Tensor } from "./define.js";

export function tensor(
  dtype: DType,
  shape: readonly number[],
  data: Float64Array = new Float64Array(countOf(shape)),
): Tensor {
  invariant(data.length === countOf(shape), `${data.length} values for shape [${shape.join(", ")}]`);
  return { dtype, shape, data };
}

/** Sizes of this run. */
export const shapeOf = (shape: readonly Size[], context: EvaluateContext): number[] =>
  shape.map((s) => context.sizes.number(s));

/** The input at `index`, which type inference has checked to exist. */
export function at(inputs: readonly Tensor[], index: number): Tensor {
  const t = inputs[index];
  invariant(t, `input ${index} is missing`);
  return t;
}

/** The effect of storing a value in this dtype: f16 rounds, u32 and i32 wrap, f32 stays a 64-bit float (null). */
export function roundingOf(dtype: DType): ((x: number) => number) | null {
  switch (dtype) {
    case "f32":
    case "bool":
      return null;
    case "f16":
      return roundToF16;
    case "u32":
      return (x) => x >>> 0;
    case "i32":
      return (x) => x | 0;
    default:
      return dtype satisfies never;
  }
}

/** Rounds the values of a tensor to its dtype, in place. */
export function roundStored(t: Tensor): Tensor {
  const f = roundingOf(t.dtype);
  if (f) for (let i = 0; i < t.data.length; i++) t.data[i] = f(t.data[i]!);
  return t;
}

/** Rounds a number to the nearest value of a type. */
export const REDUCING: Readonly<Record<ReducedType, (x: number) => number>> = { bf16: roundToBf16, f16: roundToF16 };

/** Operand b as a product with `roundsB` reads it. */
export const readB = (b: Tensor, { roundsB }: { readonly roundsB?: ReducedType | undefined }): Tensor =>
  roundsB === undefined ? b : { ...b, data: b.data.map(REDUCING[roundsB]) };

export function broadcastNumbers(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    let size = 1;
    for (const shape of shapes) {
      const extent = shape[i - rank + shape.length] ?? 1;
      invariant(
        extent === 1 || size === 1 || extent === size,
        `shapes ${shapes.map((s) => `[${s.join(", ")}]`).join(" and ")} do not broadcast`,
      );
      if (extent !== 1) size = extent;
    }
    return size;
  });
}

/**
 * For each element of shape `to`, in order, the offset of the element of shape `from` that broadcasting pairs with it;
 * null if each pairs with itself.
 */
export function broadcastOffsets(from: readonly number[], to: readonly number[]): Int32Array | null {
  const total = countOf(to);
  if (countOf(from) === total && total > 0) return null;
  const offsets = new Int32Array(total);
  const rank = to.length;
  const steps = new Array<number>(rank).fill(0);
  for (let d = rank - 1, step = 1; d >= 0; d--) {
    const extent = from[d - rank + from.length] ?? 1;
    if (extent !== 1) steps[d] = step;
    step *= extent;
  }
  walk(to, steps, (i, offset) => {
    offsets[i] = offset;
  });
  return offsets;
}

/** Visits the elements of a shape in order, with their offsets under each set of strides. */
export function walk(
  shape: readonly number[],
  steps: readonly number[],
  visit: (element: number, offset: number) => void,
): void {
  const total = countOf(shape);
  const index = new Int32Array(shape.length);
  for (let i = 0, offset = 0; i < total; i++) {
    visit(i, offset);
    for (let d = shape.length - 1; d >= 0; d--) {
      offset += steps[d]!;
      if (++index[d]! < shape[d]!) break;
      offset -= steps[d]! * shape[d]!;
      index[d] = 0;
    }
  }
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let d = shape.length - 1, step = 1; d >= 0; step *= shape[d--]!) strides[d] = step;
  return strides;
}

/** The number of elements before, along and after one dimension. */
export function around(
  shape: readonly number[],
  dim: number,
): { readonly outer: number; readonly n: number; readonly inner: number } {
  return { outer: countOf(shape.slice(0, dim)), n: shape[dim]!, inner: countOf(shape.slice(dim + 1)) };
}

/** Elements start … stop − 1 along a dimension. */
export function partAlong(x: Tensor, axis: number, start: number, stop: number): Tensor {
  const { outer, n, inner } = around(x.shape, axis);
  const out = tensor(
    x.dtype,
    x.shape.map((s, d) => (d === axis ? stop - start : s)),
  );
  const run = (stop - start) * inner;
  for (let o = 0; o < outer; o++)
    out.data.set(x.data.subarray((o * n + start) * inner, (o * n + start) * inner + run), o * run);
  return out;
}
