// Element types, and what their values can be.

export const DTYPES = ["f32", "f16", "u32", "i32", "bool"] as const;
export type DType = (typeof DTYPES)[number];

export const FLOATS = ["f32", "f16"] as const satisfies readonly DType[];
export const NUMBERS = ["f32", "f16", "u32", "i32"] as const satisfies readonly DType[];

export const isDType = (value: unknown): value is DType => DTYPES.some((dtype) => dtype === value);
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f16";

/** The largest value of each type of numbers. */
export const LARGEST: Readonly<Record<Exclude<DType, "bool">, number>> = {
  f32: 3.4028234663852886e38,
  f16: 65504,
  u32: 0xffffffff,
  i32: 0x7fffffff,
};
