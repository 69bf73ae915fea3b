// The element types of tensors in GGUF files: how many values a block has, in how many bytes.

/** A type that modc reads. Values lie in blocks, each with the scales that its values share. */
export interface TensorType {
  readonly name: TensorTypeName;
  /** Values of a block, and its bytes. */
  readonly values: number;
  readonly bytes: number;
}

export type TensorTypeName =
  | "F32"
  | "F16"
  | "BF16"
  | "Q8_0"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "MXFP4";

const type = (name: TensorTypeName, values: number, bytes: number): TensorType => ({ name, values, bytes });

/** By the number that stands for them in a file. */
export const tensorTypes: ReadonlyMap<number, TensorType> = new Map([
  [0, type("F32", 1, 4)],
  [1, type("F16", 1, 2)],
  [2, type("Q4_0", 32, 18)],
  [3, type("Q4_1", 32, 20)],
  [6, type("Q5_0", 32, 22)],
  [7, type("Q5_1", 32, 24)],
  [8, type("Q8_0", 32, 34)],
  [10, type("Q2_K", 256, 84)],
  [11, type("Q3_K", 256, 110)],
  [12, type("Q4_K", 256, 144)],
  [13, type("Q5_K", 256, 176)],
  [14, type("Q6_K", 256, 210)],
  [20, type("IQ4_NL", 32, 18)],
  [30, type("BF16", 1, 2)],
  [39, type("MXFP4", 32, 17)],
]);

/** Names of types that modc does not read, for messages. */
const OTHERS: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
]);

/** The name of a type that modc does not read. */
export const otherType = (id: number): string => OTHERS.get(id) ?? `of an unknown type, ${id}`;
