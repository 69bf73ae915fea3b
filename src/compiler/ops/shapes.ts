// Shared type checks and cost formulas of records.
import { equalShapes, packedAxis, plainAxis, printShape, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { DType } from "../../ground/base/dtype.js";
import { addSizes, equalSizes, multiplySizes, printSize, rowsSize, type Size } from "../../ground/size/size.js";
import { type Cost, type InferContext, TypeMismatch } from "./define.js";

export const mismatch = (text: string): never => {
  throw new TypeMismatch(text);
};

export function arity(inputs: readonly TensorType[], count: number): void {
  if (inputs.length !== count) mismatch(`takes ${count} input${count === 1 ? "" : "s"}, found ${inputs.length}`);
}

/** Checks that the input at `index` has one of these dtypes. */
export function expectDtype(inputs: readonly TensorType[], index: number, ...dtypes: readonly DType[]): TensorType {
  const type = inputs[index] ?? mismatch(`input ${index} is missing`);
  return dtypes.includes(type.dtype)
    ? type
    : mismatch(`input ${index} must be ${dtypes.join(" or ")}, found ${printType(type)}`);
}

/** Checks that the input at `index` has this dtype and shape. */
export function expectType(
  inputs: readonly TensorType[],
  index: number,
  dtype: DType,
  shape: readonly Size[],
): TensorType {
  const type = expectDtype(inputs, index, dtype);
  return equalShapes(type.shape, shape)
    ? type
    : mismatch(`input ${index} must be ${dtype}${printShape(shape)}, found ${printType(type)}`);
}

export { FLOATS, NUMBERS } from "../../ground/base/dtype.js";

export const sameDtype = (a: TensorType, b: TensorType): DType =>
  a.dtype === b.dtype ? a.dtype : mismatch(`inputs must have one dtype, found ${printType(a)} and ${printType(b)}`);

/** The shape to which the shapes broadcast in NumPy: aligned from the right, size 1 stretches. */
export function broadcastShapes(shapes: readonly (readonly Size[])[]): readonly Size[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    let size: Size = 1;
    for (const shape of shapes) {
      const sizeOfShape = shape[i - rank + shape.length];
      if (sizeOfShape === undefined || sizeOfShape === 1 || equalSizes(sizeOfShape, size)) continue;
      if (size !== 1)
        mismatch(
          `shapes ${shapes.map(printShape).join(" and ")} do not broadcast: ${printSize(size)} against ` +
            printSize(sizeOfShape),
        );
      size = sizeOfShape;
    }
    return size;
  });
}

/** Checks a dimension index; returns the size. */
export function expectDim(shape: readonly Size[], dim: number): Size {
  return (
    (Number.isInteger(dim) && dim >= 0 ? shape[dim] : undefined) ??
    mismatch(`there is no dimension ${dim} in ${printShape(shape)}`)
  );
}

/** Checks that a dimension is not packed; returns the size. */
export function expectUnpacked(shape: readonly Size[], dim: number): Size {
  const size = expectDim(shape, dim);
  return packedAxis(size) === null
    ? size
    : mismatch(`dimension ${dim} of ${printShape(shape)} holds packed rows, sequences one after the other`);
}

/** Checks that a dimension is packed; returns its axis. */
export function expectPacked(shape: readonly Size[], dim: number): string {
  const size = expectDim(shape, dim);
  return packedAxis(size) ?? mismatch(`dimension ${dim} of ${printShape(shape)} must hold packed rows`);
}

/** Checks that a dimension holds rows that an index may name: packed, or of an axis that the host sets. */
export function expectRows(shape: readonly Size[], dim: number): void {
  const size = expectDim(shape, dim);
  if (packedAxis(size) === null && plainAxis(size) === null)
    mismatch(`dimension ${dim} of ${printShape(shape)} must hold packed rows, or rows of a pool`);
}

export function expectSequence(context: InferContext, name: string): void {
  const axis = context.axis(name);
  if (axis.role !== "sequence") mismatch(`${name} must be a sequence axis, found a ${axis.role} axis`);
}

/** The shape of `starts`: [B + 1]. */
export const startsShape = (context: InferContext): readonly Size[] => [addSizes(context.batch, 1)];
export const startsType = (context: InferContext): TensorType => ({ dtype: "u32", shape: startsShape(context) });

/** The type u32[rows(axis)]. */
export const rowsType = (axis: string): TensorType => ({ dtype: "u32", shape: [rowsSize(axis)] });

export const replaceDim = (shape: readonly Size[], dim: number, ...sizes: readonly Size[]): readonly Size[] => [
  ...shape.slice(0, dim),
  ...sizes,
  ...shape.slice(dim + 1),
];

/** Checks that axes are distinct dimensions in ascending order. */
export function expectAxes(shape: readonly Size[], axes: readonly number[]): void {
  axes.forEach((a, i) => {
    expectDim(shape, a);
    if (i > 0 && axes[i - 1]! >= a) mismatch(`axes must ascend, found ${axes.join(", ")}`);
  });
}

export const elements = (type: Pick<TensorType, "shape">): Size =>
  type.shape.reduce((n: Size, s) => multiplySizes(n, s), 1);

/** Bytes of the values, at 4 bytes each. */
export const bytesOf = (types: readonly Pick<TensorType, "shape">[]): Size =>
  types.reduce((n: Size, t) => addSizes(n, multiplySizes(4, elements(t))), 0);

/**
 * Cost of `perElement` operations for each element of the first result, with every input read and every result written
 * once.
 */
export const costPerResult =
  (perElement: number) =>
  (inputs: readonly TensorType[], _attrs: unknown, results: readonly TensorType[]): Cost => ({
    flops: perElement === 0 ? 0 : multiplySizes(perElement, elements(results[0]!)),
    bytes: addSizes(bytesOf(inputs), bytesOf(results)),
  });

/** No work and no memory traffic: the result is the memory of an input or a buffer that the runtime fills. */
export const noCost = (): Cost => ({ flops: 0, bytes: 0 });
