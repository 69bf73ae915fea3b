// What an epilogue of a product's fusion is: an object that says of itself what it is given, binds and writes.
import type { Node } from "../../ir/graph.js";
import type { Expression } from "../addressing/expression.js";
import type { RowText } from "../addressing/expression-text.js";
import type { ElementCodec } from "../codecs/codec.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { Bindings } from "./buffers.js";
import type { Results } from "./results.js";

/**
 * Columns of a product that are worked on together: from start to stop; or pairs of them, the others as many columns on
 * from `second`.
 */
export interface ColumnSlice {
  readonly start: number;
  readonly stop: number;
  readonly second: number | null;
}

/** What becomes of the values of a slice; several in the order in which the kernel does them. */
export interface Epilogue {
  /** `store`: in memory of its own; `column store`: where its columns stand in the product's memory. */
  readonly kind: "store" | "column store" | "rotary" | "cache write" | "scatter" | "row sum";
  /** What it is given an element of. */
  readonly value: Node;
  /** What it computes of that. */
  readonly nodes: readonly Node[];
  readonly buffers: Bindings;
  /** What it reads from memory by itself. */
  readonly reads: readonly Node[];
  /** What it adds rows to or sets them in: a result takes over that memory. */
  readonly rows: readonly Node<"put" | "set">[];
  /** Row sums that it leaves, a partial sum for each panel; and the set, where they replace some of other ones. */
  readonly sums: readonly { readonly sum: Node<"sum">; readonly set: Node<"set"> | null }[];
  /** With the kernel's inputs and results by number. */
  readonly bind: (results: Results, slice: ColumnSlice) => Bound;
  /** For people. */
  readonly print: (names: NodeNames) => string;
}

export interface NodeNames {
  readonly ref: (node: Node) => string;
  /** Its name, operator and inputs. */
  readonly computed: (node: Node) => string;
}

/** A bound epilogue. */
export type Bound = {
  readonly result: number;
  /** Equal where the text is. */
  readonly key: string;
  /** The kernel's inputs that are words, however others are stored; and whether its result is. */
  readonly inputsInWords: readonly number[];
  readonly resultInWords: boolean;
} & (
  | {
      /** In the function of its slice; or, of `pairs`, what is done with pairs of columns instead of calling that. */
      readonly kind: "statement" | "pairs";
      readonly wgsl: (text: SliceText) => string;
    }
  | {
      /** A term that the function returns; where its sum goes. */
      readonly kind: "sum";
      readonly keep: (kernel: KernelBuilder, sum: string) => string;
    }
);

/** A slice's function while it is written. */
export interface SliceText {
  readonly kernel: KernelBuilder;
  readonly expression: Expression;
  readonly text: RowText;
  readonly slice: ColumnSlice;
  /**
   * The number of the slice, and how far apart its columns stand that an invocation has side by side; 0: they are
   * neighbours.
   */
  readonly n: number;
  readonly pairs: number;
  /** The result of the expression that is the epilogue's. */
  readonly place: number;
  /** Of the kernel's results. */
  readonly codecs: readonly ElementCodec[];
}
