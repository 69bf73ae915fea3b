// The interface of an epilogue of a fused product: an object with its input value, bindings and WGSL.
import type { Node } from "../../ir/graph.js";
import type { Size } from "../../../ground/size/size.js";
import type { Expression } from "../addressing/expression.js";
import type { RowText } from "../kernels/expression-text.js";
import type { ElementCodec } from "../codecs/codec.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { Bindings } from "./buffers.js";
import type { Results } from "./results.js";

/**
 * A column slice of a product: columns from `start` to `stop`; with `second`, each is paired with one of the equally
 * many columns from `second` on.
 */
export interface ColumnSlice {
  readonly start: number;
  readonly stop: number;
  readonly second: number | null;
}

/** An epilogue of a slice. A slice may have several, in the order of execution. */
export interface Epilogue {
  /** The memory for its value: the value's own, columns of the product's memory, or another. */
  readonly stores: "own" | "columns" | "other";
  /** The value whose elements it receives. */
  readonly value: Node;
  readonly nodes: readonly Node[];
  readonly buffers: Bindings;
  /** The nodes it reads from memory. */
  readonly reads: readonly Node[];
  /** The scatters it performs in place: a result takes over the memory of each one's input 0. */
  readonly rows: readonly Node<"put" | "set">[];
  /** Row sums that it stores, as a partial sum for each panel; and the set, if they replace sums of the same rows. */
  readonly sums: readonly { readonly sum: Node<"sum">; readonly set: Node<"set"> | null }[];
  /** The epilogue with the kernel's inputs and results as numbers. */
  readonly bind: (results: Results, slice: ColumnSlice) => Bound;
  /** Its text in a printed kernel graph. */
  readonly print: (names: NodeNames) => string;
}

export interface NodeNames {
  readonly ref: (node: Node) => string;
  /** A node's name, operator and inputs. */
  readonly computed: (node: Node) => string;
}

export type Bound = {
  readonly result: number;
  /** A key that is equal where the text is equal. */
  readonly key: string;
  /**
   * The kernel's inputs that must be stored in words, whatever the others' encoding; and whether the result must be.
   */
  readonly inputsInWords: readonly number[];
  readonly resultInWords: boolean;
} & (
  | {
      /**
       * `statement`: a statement of its slice's function. `pairs`: statements on pairs of columns, in place of calls of
       * that function.
       */
      readonly kind: "statement";
      readonly wgsl: (text: SliceText) => string;
      readonly into: StoredInto;
    }
  | {
      readonly kind: "pairs";
      readonly wgsl: (text: SliceText) => string;
      /** The same, if angles were loaded before. */
      readonly taking: (text: SliceText) => TakenText;
      /** The same for one pair, if all operands were loaded before (see `taken-ahead.ts`). */
      readonly takingAhead: (text: SliceText) => TakenText;
    }
  | {
      /** A term that the function returns; `keep` prints the store of its sum. */
      readonly kind: "sum";
      readonly keep: (kernel: KernelBuilder, sum: string) => string;
    }
);

/** The columns of a row that a statement stores: from row · stride + offset on. */
export interface StoredInto {
  readonly stride: Size;
  readonly offset: Size;
  /** An input whose element, and not the number of the row, is the row in memory; null: none. */
  readonly index: number | null;
  /** Whether values are added to those in memory. */
  readonly adds: boolean;
}

/** The loads of a slice before sums are stored: fields of `Taken`, the text of each, and the statements that follow. */
export interface TakenText {
  readonly fields: readonly { readonly name: string; readonly type: string; readonly value: string }[];
  /** Statements before the fields, in the scope of `row`, `column` and `x`. */
  readonly lines: readonly string[];
  readonly stores: string;
}

/** The context in which a slice's function is printed. */
export interface SliceText {
  readonly kernel: KernelBuilder;
  readonly expression: Expression;
  readonly text: RowText;
  readonly slice: ColumnSlice;
  /**
   * The number of the slice, and the distance between its paired columns; 0: an invocation's columns are neighbours.
   */
  readonly n: number;
  readonly pairs: number;
  /** The index of the epilogue's result among the results of the expression. */
  readonly place: number;
  /** Codecs of the kernel's results. */
  readonly codecs: readonly ElementCodec[];
}
