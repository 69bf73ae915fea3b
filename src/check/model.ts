// What the checker hands to `lower`: a model with every name resolved, every block instantiated, every compile-time
// value gone, and the entered function unrolled into a list of typed operations on logical tensors.
import type { Span } from "../diagnostics/span.js";
import type { PlainPointwiseOp } from "../ir/vocabulary.js";
import type { Axis } from "../size/axes.js";
import type { DType } from "../base/dtype.js";
import type { Rational } from "../size/rational.js";
import type { Size } from "../size/size.js";

export type Phase = "infer" | "train" | "generate";
export type Entry = "forward" | "objective";

/**
 * A tensor as the language sees it: `f32[B, T, dim]`, sequences side by side, nothing packed.
 * A dimension that is exactly an axis atom of a sequence axis lies along that sequence.
 * The batch, where there is one, is the first dimension and no other; sequence dimensions stand only behind it.
 */
export interface LogicalType {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}

/**
 * One operation. Its inputs are earlier values. Every value is one tensor;
 * a route is the value of `top` or `above`, whose type is that of `route.index`.
 */
export interface Value<K extends LogicalOp = LogicalOp> {
  readonly id: number;
  readonly op: K;
  readonly inputs: readonly Value[];
  readonly attrs: LogicalAttrs[K];
  readonly type: LogicalType;
  readonly span: Span;
  /** The call it belongs to, as a path: `layers.1.inner.attn`, `shared#1`; empty for the model's own functions. */
  readonly path: string;
}

/** Elementwise functions; all broadcast as NumPy does. The names are those of the IR's pointwise operators. */
export type PointwiseName = PlainPointwiseOp;

export type LogicalOp = keyof LogicalAttrs;

export interface LogicalAttrs {
  /** An input of the entered function. */
  input: { readonly name: string };
  weight: { readonly path: string };
  /** A live parameter as an f32 scalar. */
  live: { readonly name: string };
  /** A compile-time number as a scalar of the value's dtype. */
  number: { readonly value: number };
  /**
   * A size as a value. Shape [] where it is the same for all sequences; [B, 1, … 1] where it mentions a sequence axis
   * and so differs. dtype f32, u32 or i32. Its inputs are the values that made those axes (top, above, span, join), so
   * that they are reached.
   */
  length: { readonly size: Size };
  pointwise: { readonly fn: PointwiseName };
  /** x to a whole power, by multiplication. */
  powi: { readonly exponent: number };
  cast: {};
  /**
   * `axes` ascending, from 0. `argmax` has one axis, dtype u32. Along sequence axes only existing tokens count; the
   * mean of none is 0.
   */
  reduce: {
    readonly fn: "sum" | "mean" | "max" | "min" | "var" | "argmax";
    readonly axes: readonly number[];
    readonly keep: boolean;
  };
  softmax: { readonly axis: number };
  /**
   * a[…, M, K] @ b[…, K, N], leading dimensions broadcast as NumPy's; a or b may be one-dimensional as in NumPy (the
   * checker has reshaped them away).
   */
  matmul: {};
  /**
   * To the value's type. Batch and sequence dimensions survive in order; only static ones are split, merged, added or
   * dropped.
   */
  reshape: {};
  /** Dimension i of the result is dimension order[i] of the input. */
  permute: { readonly order: readonly number[] };
  /** Along a dimension that is no sequence axis; clamped already. */
  slice: { readonly axis: number; readonly start: number; readonly stop: number };
  /**
   * Tokens of a slice along a sequence axis, on the fresh axis of the value's type at that dimension (count rule
   * `span`).
   */
  span: { readonly dim: number; readonly axis: string };
  /**
   * One token of each sequence along its sequence axis at `dim` (that dimension is dropped); negative from the end;
   * zeros where there is none.
   */
  token: { readonly dim: number; readonly index: number };
  concat: { readonly axis: number };
  /** Concatenation along sequence axes, on a fresh axis (count rule `join`). */
  join: { readonly dim: number; readonly axis: string };
  /** table[V, …] by indices[…]: shape is that of indices, then the rest of table's. */
  gather: {};
  /**
   * x[…, d] turned by its positions; `dim` is the sequence dimension. `frequencies` replaces theta's (d/2 of them);
   * `scale` multiplies sine and cosine.
   */
  rope: {
    readonly dim: number;
    readonly theta: number;
    readonly frequencies: readonly number[] | null;
    readonly scale: number;
  };
  /** q[B, …, Tq, d], k[B, …, Tk, d], v[B, …, Tk, e]; window 0 is none; scale null is 1/√d. */
  attention: { readonly causal: boolean; readonly window: number; readonly scale: number | null };
  /** inputs [x]: u32[B, T], the positions in the model's input of the tokens on the axis of x. */
  position: { readonly axis: string };
  /**
   * inputs [score[B, T]]; `axis` is the sequence axis it makes, whose count rule holds k. The value is the route; its
   * type u32[B, axis].
   */
  top: { readonly axis: string };
  /** inputs [score[B, T], threshold (scalar or [B, T])]. */
  above: { readonly axis: string };
  /** inputs [x, route]; `dim` is the sequence dimension of x. */
  take: { readonly dim: number };
  /** inputs [x, route, y]: y added to the chosen rows of x. */
  put: { readonly dim: number };
  /** inputs [route]: bool[B, T]; u32[B, K] relative to the axis it was chosen on; u32[B]. */
  mask: {};
  index: {};
  count: {};
  /** inputs [logits[…, V], targets[…]]: scalar mean. */
  cross_entropy: {};
  /** inputs [logit, target (bool or f32)]: scalar mean. */
  bce: {};
  stop_gradient: {};
  /** Only in train; elsewhere the checker passes x on. `stream` names the call, for random values. */
  dropout: { readonly p: number; readonly stream: string };
  /** inputs [like], for its shape only. */
  random_normal: { readonly stream: string };
  random_uniform: { readonly stream: string };
}

export type Initialiser =
  | { readonly kind: "zeros" | "ones" }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "orthogonal"; readonly gain: number };

export interface ModelWeight {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly init: Initialiser;
  /**
   * Keys a checkpoint may hold it under, by `names`; the path itself where no rule matches. Any one, or several when
   * byte-equal.
   */
  readonly keys: readonly string[];
  readonly doc: string | null;
  readonly span: Span;
}

export interface ModelInput {
  readonly name: string;
  readonly type: LogicalType;
  readonly value: Value;
  readonly span: Span;
}

export interface LiveParameter {
  readonly name: string;
  readonly kind: "ratio" | "float";
  readonly default: Rational;
}

export interface ModelLoss {
  /** `next_token` for the objective's own, `layers.1.predictor` for one a call added. */
  readonly path: string;
  readonly value: Value;
  readonly own: boolean;
}

export interface ModelObserve {
  /** `layers.1.chosen`. */
  readonly path: string;
  readonly value: Value;
}

/** One instance of a block, for documentation and the ledger. */
export interface Instance {
  readonly path: string;
  readonly block: string;
  readonly span: Span;
}

/** A model for one phase and entry. */
export interface Model {
  readonly name: string;
  readonly file: string;
  readonly phase: Phase;
  readonly entry: Entry;
  /** The values its parameters were given, printed. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  /** Batch first, then in order of making: an axis stands after those it is made from. */
  readonly axes: readonly Axis[];
  readonly live: readonly LiveParameter[];
  readonly instances: readonly Instance[];
  /** Every declared weight in order of declaration, reached by the entry or not: a checkpoint must hold them all. */
  readonly weights: readonly ModelWeight[];
  /** Patterns of checkpoint keys to pass over; `{x}` matches one segment. */
  readonly ignore: readonly string[];
  readonly inputs: readonly ModelInput[];
  readonly outputs: readonly { readonly name: string; readonly value: Value }[];
  readonly losses: readonly ModelLoss[];
  readonly observes: readonly ModelObserve[];
  /** Routes that are bound to a name, each by a path of its own: `layers.1`, `layers.0.moe.expert#3`, `chosen`. */
  readonly routes: readonly { readonly axis: string; readonly path: string }[];
}
