// Element types, their value ranges and their typed arrays.

export const DTYPES = ["f32", "f16", "u32", "i32", "bool"] as const;
export type DType = (typeof DTYPES)[number];

export const FLOATS = ["f32", "f16"] as const satisfies readonly DType[];
export const NUMBERS = ["f32", "f16", "u32", "i32"] as const satisfies readonly DType[];

/** Types of fewer digits than f32 to which an f32 may be rounded, and stay an f32. */
export const REDUCED_TYPES = ["bf16", "f16"] as const;
export type ReducedType = (typeof REDUCED_TYPES)[number];

export const isDType = (value: unknown): value is DType => DTYPES.some((dtype) => dtype === value);
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f16";

/** Typed arrays with four bytes per value: f32 and f16 as f32, u32 and bool as u32. */
export type Words = Float32Array | Uint32Array | Int32Array;

/** Allocates an array of `length` values. */
export function wordsFor(dtype: DType, length: number): Words {
  switch (dtype) {
    case "f32":
    case "f16":
      return new Float32Array(length);
    case "u32":
    case "bool":
      return new Uint32Array(length);
    case "i32":
      return new Int32Array(length);
    default:
      return dtype satisfies never;
  }
}

/** The largest finite value of each numeric dtype. */
export const LARGEST: Readonly<Record<Exclude<DType, "bool">, number>> = {
  f32: 3.4028234663852886e38,
  f16: 65504,
  u32: 0xffffffff,
  i32: 0x7fffffff,
};
