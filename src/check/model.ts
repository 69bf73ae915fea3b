// What the checker hands to `lower`: a model with every name resolved, every block instantiated, every compile-time
// value gone, and the entered function unrolled into a list of typed operations on logical tensors.
import type { Span } from "../diagnostics/span.js";
import type { Axis } from "../size/axes.js";
import type { DType } from "../base/dtype.js";
import type { Rational } from "../size/rational.js";
import type { LogicalAttrs, LogicalOp, LogicalType } from "./operations.js";

export type { LogicalAttrs, LogicalOp, LogicalType, PointwiseName } from "./operations.js";

export type Phase = "infer" | "train" | "generate";
export type Entry = "forward" | "objective";

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
  readonly value: Value<"input">;
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
