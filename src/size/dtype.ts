// Element types, and how their values are kept.

export type DType = "f32" | "f16" | "u32" | "i32" | "bool";

export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f16";
