// The model, the checker's result: names resolved, blocks instantiated, compile-time values evaluated, and the entered
// function unrolled into a list of typed operations on logical tensors.
import type { Span } from "../../diagnostics/span.js";
import type { Axis } from "../../../ground/size/axes.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { Size } from "../../../ground/size/size.js";
import type { LogicalAttrs, LogicalOp, LogicalType } from "./operations.js";

export type { LogicalAttrs, LogicalOp, LogicalType, PointwiseName } from "./operations.js";

export type Phase = "infer" | "train" | "generate";
export type Entry = "forward" | "objective";

/**
 * An axis of the entries taken by a choice from a fixed axis. It exists only during unrolling, so that entries of
 * different choices do not combine. In a finished model the dimension is a number, the axis's bound.
 */
export interface EntryAxis {
  readonly role: "entries";
  readonly name: string;
  /** The number of entries; for a ragged axis the greatest number. */
  readonly bound: number;
  /** Whether tokens differ in their number of entries. */
  readonly ragged: boolean;
}

/** The value of a choice of entries: the entry indices. An index beyond the entries marks a missing entry. */
export type EntryChoice = Value<"top_entries"> | Value<"those_entries">;

/** An axis during unrolling. */
export type LogicalAxis = Axis | EntryAxis;

/**
 * An operation. Its inputs are earlier values. Every value is one tensor. A route is the value of a choice, and has the
 * type of `route.index`.
 */
export interface Value<K extends LogicalOp = LogicalOp> {
  readonly id: number;
  readonly op: K;
  readonly inputs: readonly Value[];
  readonly attrs: LogicalAttrs[K];
  readonly type: LogicalType;
  readonly span: Span;
  /** Path of the emitting call: `layers.1.inner.attn`, `shared#1`; empty for the model's own functions. */
  readonly path: string;
}

/** The value of an operation that chooses tokens. */
export type Route = Value<"top"> | Value<"above"> | Value<"those">;

export type Initialiser =
  | { readonly kind: "zeros" | "ones" }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "orthogonal"; readonly gain: number };

/** A weight, or a state, which is stored like a weight and moved by updates instead of gradients. */
export interface ModelWeight {
  readonly kind: "weight" | "state";
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly init: Initialiser;
  /**
   * Checkpoint keys under which the weight may be stored, from `names`, or the weight's path if no rule matches. A
   * checkpoint contains one of the keys, or several with equal bytes. A key may state a part of a tensor (`readPart`).
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
  /** `next_token` for a loss of the objective itself, `layers.1.predictor` for the loss of a call. */
  readonly path: string;
  readonly value: Value;
  readonly own: boolean;
}

export interface ModelObserve {
  /** `layers.1.chosen`. */
  readonly path: string;
  readonly value: Value;
}

/** The value of a state after a training step. */
export interface ModelUpdate {
  readonly path: string;
  readonly value: Value;
}

/** A block instance, for documentation and the ledger. */
export interface Instance {
  readonly path: string;
  readonly block: string;
  /** Whether the block comes from the library. */
  readonly library: boolean;
  /** The values of all number parameters. */
  readonly numbers: ReadonlyMap<string, Rational>;
  readonly span: Span;
}

/** A model that is a block of another. Its `names` give the keys of the checkpoint of that model. */
export interface NestedModel {
  /** `teacher`. */
  readonly path: string;
  /** The keys of each weight, by its path in the nested model. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
  readonly ignore: readonly string[];
}

export interface ModelCall {
  /** `layers.1.inner`; `shared#0` and `shared#1` for an instance with several calls. */
  readonly path: string;
  /** The path of the calling call; empty for the model's own functions. */
  readonly caller: string;
  /** The name of the function. */
  readonly fn: string;
}

/** A call of a list of blocks by a choice: a mixture of experts. */
export interface ModelMixture {
  /** Path of the call that contains the experts: `layers.3.inner.mlp`. */
  readonly path: string;
  /** The blocks, in list order. */
  readonly experts: readonly Pick<Instance, "path" | "block">[];
  /** The expected number of entries for each expert in a run. */
  readonly entries: Size;
  /**
   * The rows computed by the call of an expert: the rows of its entries. If experts that differ only in their weights
   * are merged into one call, the rows of all merged experts, under the first expert's path.
   */
  readonly rows: Size;
}

/** A model for one phase and entry. */
export interface Model {
  readonly name: string;
  readonly file: string;
  readonly phase: Phase;
  readonly entry: Entry;
  /** The model's parameter values, printed. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  /** The batch first, then in order of creation: an axis follows the axes it is derived from. */
  readonly axes: readonly Axis[];
  readonly live: readonly LiveParameter[];
  readonly instances: readonly Instance[];
  /** In order. */
  readonly calls: readonly ModelCall[];
  /**
   * Every declared weight and state in order of declaration, whether the entered function uses it or not: a checkpoint
   * must contain all of them.
   */
  readonly weights: readonly ModelWeight[];
  /** Patterns of checkpoint keys to ignore; `{x}` matches one segment. */
  readonly ignore: readonly string[];
  /** The models with `names` that are blocks here. */
  readonly models: readonly NestedModel[];
  readonly inputs: readonly ModelInput[];
  readonly outputs: readonly { readonly name: string; readonly value: Value }[];
  readonly losses: readonly ModelLoss[];
  readonly observes: readonly ModelObserve[];
  /** At most one for each state; only for the objective in train. */
  readonly updates: readonly ModelUpdate[];
  /** Routes bound to a name, each with a unique path: `layers.1`, `layers.0.moe.expert#3`, `chosen`. */
  readonly routes: readonly { readonly axis: string; readonly path: string }[];
  readonly mixtures: readonly ModelMixture[];
}
