// The type of an operator's record.
import type { Node, InputsOf } from "../ir/graph.js";
import type { InferContext, StartsRead } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpKind } from "../ir/schema.js";
import type { KindOf, OpAttrs, OpName } from "../ir/vocabulary.js";
import type { Axis, Sizes } from "../../ground/size/axes.js";
import type { DType } from "../../ground/base/dtype.js";
import type { Rational } from "../../ground/numerics/rational.js";
import type { Size } from "../../ground/size/size.js";

export { TypeMismatch } from "../ir/typing.js";
export type { InferContext } from "../ir/typing.js";

/** A tensor in memory, row-major, as 64-bit floats whatever its dtype (bool: 0 or 1; f16: values already rounded). */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** The context in which one run evaluates a node, in addition to the node's inputs. */
export interface EvaluateContext {
  readonly axes: readonly Axis[];
  /** Sizes of this run. Counts of axes that evaluated nodes define are exact, including `above` axes. */
  readonly sizes: Sizes;
  /** Live parameters by name, for the sizes of count rules. */
  readonly live: ReadonlyMap<string, Rational>;
  readonly seed: number;
  /** The value of a source, with packed rows if it has a sequence axis. */
  source(kind: "input" | "weight" | "state", name: string, type: TensorType): Tensor;
  /** Another run's choice, to be used instead of the computed choice; null: compute it. */
  forced(axis: string): { readonly index: Tensor; readonly starts: Tensor } | null;
  /** The entries that another run chose, by the name of the choice; null: compute them. */
  forcedEntries(choice: string): Tensor | null;
}

/** The work of one node, as exact expressions over the axes. */
export interface Cost {
  /** Floating-point operations; a multiply-add counts as two. */
  readonly flops: Size;
  /** Bytes of all inputs and results, each accessed once, at 4 bytes per value. */
  readonly bytes: Size;
}

/** Creates a node of the backward pass, with the origin of the forward node. */
export type EmitGrad = <K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K]) => Node<K>;

/**
 * Computes the cotangents of the inputs (null for an input without a cotangent) from the cotangents of the results
 * (null for a result on which the loss does not depend).
 */
export type Grad<K extends OpName> = (
  emit: EmitGrad,
  node: Node<K>,
  dys: readonly (Node | null)[],
) => readonly (Node | null)[];

/**
 * For each input, the dimension that corresponds to the rows of the result; null if every row depends on the whole
 * input.
 */
export type RowInputs = readonly (number | null)[];

/**
 * How the inputs of a node correspond to the rows along a packed dimension of its result: row i depends on row i of
 * some inputs and on all rows of the others. Null: the operator is not row-wise.
 */
export type Rows<K extends OpName> = (node: Node<K>, dim: number) => RowInputs | null;

/**
 * The tokens of the sequence on which a token of the result depends: only itself, itself and earlier tokens, or all
 * tokens. Generation continues sequences, so an operator that reads earlier tokens needs a cache rule
 * (`lower/caches.ts`).
 */
export type Tokens = "own" | "earlier" | "all";

/** Whether a size is along a sequence axis. */
export type Along = (size: Size) => boolean;

/**
 * How the operator treats the columns of input 0, its last dimension. `kept`: each column of the result depends on the
 * same column of the input. `reduced`: the result has no columns, and can be computed in parts. Null: neither.
 */
export type Columns = "kept" | "reduced" | null;

/** Bytes accessed, at 4 bytes per value. */
export interface Touched {
  /** Bytes of input 0 that are read; null: all. */
  readonly read: Size | null;
  /** Bytes of the result that are written; null: all. */
  readonly written: Size | null;
  /** The share of another input that is read; absent: all. */
  readonly share?: { readonly input: number; readonly of: Size };
}

/** The lowering of an operator to WGSL, by its kind in the vocabulary. */
export interface Lowering<K extends OpName> {
  source: { readonly kind: "source" };
  pick: { readonly kind: "pick" };
  same: { readonly kind: "same" };
  moved: { readonly kind: "moved" };
  rewritten: { readonly kind: "rewritten" };
  /** A WGSL literal. */
  constant: { readonly kind: "constant"; wgsl(attrs: OpAttrs[K]): string };
  /**
   * A WGSL expression over elements of the arguments. f16 values are computed as f32 (the expression rounds its result
   * to f16), bool as bool. Each argument occurs once; the expression may call the functions of `wgslHelpers`
   * (`ops/wgsl.ts`).
   */
  pointwise: {
    readonly kind: "pointwise";
    /** Whether recomputing an element is cheap. */
    readonly cheap?: true;
    /** Whether every driver computes bit-identical results. */
    readonly exact?: true;
    wgsl(args: readonly string[], attrs: OpAttrs[K], inputs: readonly TensorType[]): string;
  };
  kernel: KernelLowering;
}

/**
 * Capabilities of an operator's kernels, in addition to reading inputs and writing results. The default, no
 * capabilities, is always correct.
 */
export interface KernelLowering {
  readonly kind: "kernel";
  /** The input whose elements the kernels can compute inline, or read through views. */
  readonly computes?: number;
  /** For each result, the input whose memory it may reuse if nothing else reads that input. */
  readonly inPlace?: readonly number[];
  /** Inputs that the kernels can read in place at any strides. */
  readonly readsViews?: readonly number[];
  /** Results that the kernels can write at any strides, so that the reader of a permutation finds it row-major. */
  readonly writesViews?: readonly number[];
  /**
   * Inputs that the kernels can read in an encoding other than 32-bit words. Inline-computed elements may be encoded
   * too.
   */
  readonly readsEncoded?: readonly number[];
  /** Whether the kernels can store result 0 in an encoding other than 32-bit words. */
  readonly writesEncoded?: true;
  /** The input that, if it is a weight, the kernels read through the decoding functions of its encoding. */
  readonly decodes?: number;
  /**
   * The number of buffers, in addition to inputs and results, that the kernels bind when they compute an input inline.
   */
  readonly scratch?: number;
}

/**
 * The record of an operator; its inputs and attributes are in the vocabulary. A property is required if its absence
 * would make programs wrong, and optional if it only improves speed.
 */
export interface OpDef<K extends OpName, P extends OpKind = KindOf<K>> {
  /** One sentence that states what the operator computes. */
  readonly doc: string;
  /** Infers the types of the results; throws TypeMismatch if the inputs do not fit. */
  infer(inputs: readonly TensorType[], attrs: OpAttrs[K], context: InferContext): readonly TensorType[];
  cost(inputs: readonly TensorType[], attrs: OpAttrs[K], results: readonly TensorType[]): Cost;
  /** The category of its work in cost reports; absent: other work. */
  readonly work?: "products" | "attention";
  /** The reference semantics: plain loops in 64-bit floats. */
  evaluate(inputs: readonly Tensor[], attrs: OpAttrs[K], context: EvaluateContext): readonly Tensor[];
  /**
   * Whether zeros at an input give zeros, for any values of the other inputs; for `where` and `concat` the other values
   * must be zero too.
   */
  readonly linear?: (input: number) => boolean;
  readonly rows: Rows<K> | null;
  readonly tokens: Tokens | ((node: Node<K>, along: Along) => Tokens);
  readonly columns: Columns | ((node: Node<K>) => Columns);
  /** The gradient; an explicit null if the operator is not differentiable. Cotangents have the types of the inputs. */
  readonly grad: Grad<K> | null;
  /** Inputs that must be the starts of an axis. Types cannot express this; the verifier checks it. */
  readonly starts?: (node: Node<K>, axes: readonly Axis[]) => StartsRead;
  /** Inputs that decide which rows are chosen. They are never stored in a lossy encoding. */
  readonly chooses?: readonly number[];
  /** The bytes of inputs and results that the node accesses; absent: all. */
  readonly touches?: (node: Node<K>) => Touched;
  /** `again`: the backward pass recomputes the result instead of storing it, like pointwise operators. */
  readonly saved?: "again";
  /** Whether the kernels of its gradient can compute their inputs inline. */
  readonly gradComputes?: true;
  /** The lowering, of the kind that the vocabulary states. */
  readonly lower: Lowering<K>[P];
}

/** Total by type: an operator without a record does not compile. */
export type OpTable = { readonly [K in OpName]: OpDef<K> };
