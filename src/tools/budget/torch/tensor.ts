// Tensors without data: shapes, strides, types, and the storage shared by views.

export type TorchType = "f32" | "bf16" | "i64" | "u8" | "bool";

const BYTES: Readonly<Record<TorchType, number>> = { f32: 4, bf16: 2, i64: 8, u8: 1, bool: 1 };

/** The purpose of an allocation, as reported in a plan. */
export type Part = "weights" | "moments" | "states" | "gathered" | "rest";

export interface Storage {
  readonly bytes: number;
  readonly part: Part;
  /** The number of tensors and autograd nodes that hold the storage; the last one frees it. */
  holders: number;
}

/** The destination of a gradient. */
export interface Sink {
  readonly shape: readonly number[];
  readonly type: TorchType;
  /** Takes a gradient with this shape and type, and becomes responsible for releasing the gradient. */
  readonly take: (gradient: Tensor) => void;
}

export interface Tensor {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly type: TorchType;
  /** The destination of the gradient; null: no gradient is needed. */
  sink: Sink | null;
  /** Whether the tensor is part of an expression and is freed by its reader. Otherwise a name holds the tensor. */
  temporary: boolean;
}

export const isFloat = (type: TorchType): boolean => type === "f32" || type === "bf16";

export const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

export const bytesOf = (shape: readonly number[], type: TorchType): number => countOf(shape) * BYTES[type];

/** Row-major strides. */
export function contiguous(shape: readonly number[]): readonly number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(1, shape[i]!);
  }
  return strides;
}

export const isContiguous = ({ shape, strides }: Pick<Tensor, "shape" | "strides">): boolean => {
  const usual = contiguous(shape);
  return shape.every((size, i) => size === 1 || strides[i] === usual[i]);
};

/** Strides for a new tensor whose elements have the memory order of another tensor. */
export function stridesLike(shape: readonly number[], like: Pick<Tensor, "shape" | "strides">): readonly number[] {
  const isSame = shape.length === like.shape.length && shape.every((size, i) => size === like.shape[i]);
  if (!isSame || like.strides.some((stride, i) => stride === 0 && shape[i]! > 1)) return contiguous(shape);
  const order = shape.map((_, i) => i).sort((a, b) => like.strides[b]! - like.strides[a]! || a - b);
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (const i of order.reverse()) {
    strides[i] = step;
    step *= Math.max(1, shape[i]!);
  }
  return strides;
}

/** The strides of a view with another shape; null if a copy is required. As PyTorch's `computeStride`. */
export function stridesOfView(
  { shape, strides }: Pick<Tensor, "shape" | "strides">,
  made: readonly number[],
): readonly number[] | null {
  if (countOf(shape) === 0) return contiguous(made);
  const result = new Array<number>(made.length).fill(1);
  let view = made.length - 1;
  let [chunk, elements, viewed] = [strides.at(-1) ?? 1, 1, 1];
  for (let i = shape.length - 1; i >= 0; i--) {
    elements *= shape[i]!;
    const ends = i === 0 || (shape[i - 1] !== 1 && strides[i - 1] !== elements * chunk);
    if (!ends) continue;
    while (view >= 0 && (viewed < elements || made[view] === 1)) {
      result[view] = viewed * chunk;
      viewed *= made[view]!;
      view--;
    }
    if (viewed !== elements) return null;
    if (i > 0) [chunk, elements, viewed] = [strides[i - 1]!, 1, 1];
  }
  return view === -1 ? result : null;
}

/** The broadcast shape of two operands. */
export function broadcast(a: readonly number[], b: readonly number[]): readonly number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    return x === 1 ? y : x;
  });
}

/** The result type for two operands; numbers do not take part in type promotion. */
export function promoted(a: Pick<Tensor, "type" | "shape">, b: Pick<Tensor, "type" | "shape">): TorchType {
  const rank = (type: TorchType): number => ["bool", "u8", "i64", "bf16", "f32"].indexOf(type);
  // Among floats, a scalar tensor does not widen a tensor with dimensions.
  if (isFloat(a.type) === isFloat(b.type) && (a.shape.length === 0) !== (b.shape.length === 0))
    return a.shape.length === 0 ? b.type : a.type;
  return rank(a.type) >= rank(b.type) ? a.type : b.type;
}
