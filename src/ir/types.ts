// Types of the values of a graph.
import type { DType } from "../base/dtype.js";
import type { Size } from "../size/size.js";

/**
 * Row-major. A packed dimension is the size `rows(axis)`: the tokens of all sequences, one sequence after the other.
 */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}
