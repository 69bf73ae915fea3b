// The tensor types of a graph's values.
import type { DType } from "../../ground/base/dtype.js";
import type { Size } from "../../ground/size/size.js";

/**
 * A dtype and a row-major shape. The size of a packed dimension is `rows(axis)`: the tokens of all sequences, one
 * sequence after the other.
 */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}
