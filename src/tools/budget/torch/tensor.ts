// Tensors of which nothing but sizes is known: shapes, strides, types, and the storage that views share.

export type TorchType = "f32" | "bf16" | "i64" | "u8" | "bool";

const BYTES: Readonly<Record<TorchType, number>> = { f32: 4, bf16: 2, i64: 8, u8: 1, bool: 1 };

/** What bytes are for, as a plan tells them. */
export type Part = "weights" | "moments" | "states" | "gathered" | "rest";

export interface Storage {
  readonly bytes: number;
  readonly part: Part;
  /** Tensors and nodes of autograd that hold it; it is freed with the last. */
  holders: number;
}

/** What a gradient goes to. */
export interface Sink {
  readonly shape: readonly number[];
  readonly type: TorchType;
  /** Takes a gradient of its own shape and type, and with it the responsibility to release it. */
  readonly take: (gradient: Tensor) => void;
}

export interface Tensor {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly type: TorchType;
  /** Where its gradient goes; null: it needs none. */
  sink: Sink | null;
  /** Whether it is part of an expression, and goes with what reads it; else a name holds it. */
  temporary: boolean;
}

export const isFloat = (type: TorchType): boolean => type === "f32" || type === "bf16";

export const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

export const bytesOf = (shape: readonly number[], type: TorchType): number => countOf(shape) * BYTES[type];

/** Of elements side by side, in the order of the dimensions. */
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

/** Strides of a new tensor of that shape whose elements lie in the order of another's. */
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

/** The strides of a view of another shape; null where only a copy has it. As PyTorch's `computeStride`. */
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

/** The shape of what is computed of two elementwise. */
export function broadcast(a: readonly number[], b: readonly number[]): readonly number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    return x === 1 ? y : x;
  });
}

/** The type of what is computed of two; a number has none. */
export function promoted(a: Pick<Tensor, "type" | "shape">, b: Pick<Tensor, "type" | "shape">): TorchType {
  const rank = (type: TorchType): number => ["bool", "u8", "i64", "bf16", "f32"].indexOf(type);
  // A scalar tensor does not widen what has dimensions, among floats.
  if (isFloat(a.type) === isFloat(b.type) && (a.shape.length === 0) !== (b.shape.length === 0))
    return a.shape.length === 0 ? b.type : a.type;
  return rank(a.type) >= rank(b.type) ? a.type : b.type;
}
