// What every epilogue of a product's fusion says of itself: when it joins, what it binds, and its text.
import type { Node } from "../../ir/graph.js";
import type { Expression } from "../addressing/expression.js";
import type { RowText } from "../addressing/expression-text.js";
import type { ElementCodec } from "../codecs/codec.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { Size } from "../../size/size.js";
import type { Bindings } from "./buffers.js";
import type { ColumnSlice, Draft, Epilogue, EpilogueOf, FusedOp, OpOf } from "./fusion.js";
import type { Results } from "./results.js";

/**
 * `O`: the op by which it joins; `E`: what it is in a fusion; `B`: the same with the kernel's inputs and results by
 * number.
 */
export interface EpilogueKind<O extends FusedOp["kind"], E extends Epilogue["kind"], B extends Bound> {
  /** The op by which a node joins; null where it cannot. */
  readonly match: (node: Node, draft: Draft) => OpOf<O> | null;
  /** What the kernel binds for it. */
  readonly buffers: (epilogue: EpilogueOf<E>, product: Node) => Bindings;
  /** Its results, numbered. */
  readonly results: (epilogue: EpilogueOf<E>, results: Results, slice: ColumnSlice) => B;
  /** Equal where the text is. */
  readonly key: (bound: B) => string;
  /** Its statements in the function of its slice. */
  readonly wgsl: (bound: B, text: SliceText) => string;
}

/** An epilogue with the kernel's inputs and results by number. */
export type Bound = BoundStore | BoundScatter | BoundRotary | BoundRowSum;
/** Row `row` begins at row · stride + offset. */
export interface BoundStore {
  readonly kind: "store";
  readonly result: number;
  readonly stride: Size;
  readonly offset: Size;
}
/** Row `row` is row index[row] of something so wide; `index` is an input of the kernel. */
export interface BoundScatter {
  readonly kind: "scatter";
  readonly result: number;
  readonly index: number;
  readonly stride: Size;
  readonly replaces: boolean;
}
/** The angles of a row, the width of a head, and where heads are stored. */
export interface BoundRotary {
  readonly kind: "rotary";
  readonly positions: number;
  readonly angles: number;
  readonly width: number;
  readonly into: BoundStore | BoundScatter;
}
/**
 * Partial sums of row `row`; or, where `index` is an input of the kernel and not null, of row index[row] of something
 * else.
 */
export interface BoundRowSum {
  readonly kind: "row sum";
  readonly result: number;
  readonly panels: number;
  readonly index: number | null;
}

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
