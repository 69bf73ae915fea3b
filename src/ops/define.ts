// What an operator's record holds.
import type { Node, InputsOf } from "../ir/graph.js";
import type { InferContext, StartsRead } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpKind } from "../ir/schema.js";
import type { KindOf, OpAttrs, OpName } from "../ir/vocabulary.js";
import type { Axis, Sizes } from "../size/axes.js";
import type { DType } from "../base/dtype.js";
import type { Rational } from "../size/rational.js";
import type { Size } from "../size/size.js";

export { TypeMismatch } from "../ir/typing.js";
export type { InferContext } from "../ir/typing.js";

/** A tensor in memory, row-major, as 64-bit floats whatever its dtype (bool: 0 or 1; f16: values already rounded). */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** What the evaluation of one run knows beside the inputs of a node. */
export interface EvaluateContext {
  readonly axes: readonly Axis[];
  /** Sizes of this run. Counts of axes made by nodes already evaluated are exact, `above` included. */
  readonly sizes: Sizes;
  /** The value of a count rule's sizes: live parameters by name. */
  readonly live: ReadonlyMap<string, Rational>;
  readonly seed: number;
  /** What a source reads: packed rows where it lies along a sequence axis. */
  source(kind: "input" | "weight" | "state", name: string, type: TensorType): Tensor;
  /** Choices of another run, to be taken as they are; null: choose. */
  forced(axis: string): { readonly index: Tensor; readonly starts: Tensor } | null;
}

/** Work of one node as exact expressions over the axes. */
export interface Cost {
  /** Floating-point operations; a multiply-add is two. */
  readonly flops: Size;
  /** Bytes of inputs read and results written once, 4 a value. */
  readonly bytes: Size;
}

/** Makes a node of the backward pass; where it comes from is where the node that is differentiated comes from. */
export type EmitGrad = <K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K]) => Node<K>;

/**
 * Cotangents of the inputs, null for those that have none, from those of the results, null for those that nothing of
 * the loss reads.
 */
export type Grad<K extends OpName> = (
  emit: EmitGrad,
  node: Node<K>,
  dys: readonly (Node | null)[],
) => readonly (Node | null)[];

/** For each input the dimension whose rows go with those of the result; null where every row needs all of it. */
export type RowInputs = readonly (number | null)[];

/**
 * How the inputs of a node go with the rows along a packed dimension of its result: row i needs row i of some inputs,
 * all of the others, and nothing else. Null: not so.
 */
export type Rows<K extends OpName> = (node: Node<K>, dim: number) => RowInputs | null;

/**
 * The tokens of the sequence that a token of the result is made from: itself alone, those before it too, or any.
 * Generation continues sequences: what reads earlier tokens needs a rule for what it keeps of them (`lower/caches.ts`).
 */
export type Tokens = "own" | "earlier" | "all";

/** Whether a size counts tokens of a sequence axis. */
export type Along = (size: Size) => boolean;

/**
 * What becomes of the columns of input 0, its last dimension: `kept`, each column of the result being made from the
 * same column; `reduced` to what has none, part by part if it must. Null: neither.
 */
export type Columns = "kept" | "reduced" | null;

/** Bytes of values, at 4 each. */
export interface Touched {
  /** Of input 0, those that are read. */
  readonly read: Size;
  /** Of the result, those that are written; null: all. */
  readonly written: Size | null;
}

/** How an operator becomes part of a program, by its kind in the vocabulary. */
export interface Lowering<K extends OpName> {
  source: { readonly kind: "source" };
  pick: { readonly kind: "pick" };
  same: { readonly kind: "same" };
  moved: { readonly kind: "moved" };
  rewritten: { readonly kind: "rewritten" };
  /** A literal of WGSL. */
  constant: { readonly kind: "constant"; wgsl(attrs: OpAttrs[K]): string };
  /**
   * An expression of WGSL over the arguments' elements. f16 values travel as f32 (the expression rounds its result to
   * f16); bool as bool. Each argument stands once in it; it may call the functions of `wgslHelpers` (`ops/wgsl.ts`).
   */
  pointwise: {
    readonly kind: "pointwise";
    /** Whether it costs little to compute an element again. */
    readonly cheap?: true;
    /** Whether it has one result, however a driver compiles it. */
    readonly exact?: true;
    wgsl(args: readonly string[], attrs: OpAttrs[K], inputs: readonly TensorType[]): string;
  };
  kernel: KernelLowering;
}

/**
 * What the kernels of an operator can do beside reading inputs and writing results. A kernel that says nothing can do
 * nothing more, and is right.
 */
export interface KernelLowering {
  readonly kind: "kernel";
  /** The input whose elements they may compute, or read through views. */
  readonly computes?: number;
  /** For each result, from the first on, the input whose memory it may take over when nothing else reads that. */
  readonly inPlace?: readonly number[];
  /** Inputs that they read at any strides, where they lie. */
  readonly readsViews?: readonly number[];
  /** Results that they can write at any strides, so that whoever reads a permutation finds it row-major. */
  readonly writesViews?: readonly number[];
  /**
   * Inputs that they can read where each value is an element of another encoding than words. What a kernel computes of
   * an input, it computes of either.
   */
  readonly readsEncoded?: readonly number[];
  /** Whether they can store result 0 in another encoding than words. */
  readonly writesEncoded?: true;
  /** The input that they read, if it is a weight, by functions of whatever encoding it lies in. */
  readonly decodes?: number;
  /** Where they compute an input: so many buffers they bind beside inputs and results. */
  readonly scratch?: number;
}

/**
 * All there is to know of an operator beside its inputs and attributes, which the vocabulary has. A fact whose absence
 * would make a program wrong must be given; one whose absence costs speed alone may be left out.
 */
export interface OpDef<K extends OpName, P extends OpKind = KindOf<K>> {
  /** One sentence: what it computes. */
  readonly doc: string;
  /** Types of the results; throws TypeMismatch where the inputs do not fit. */
  infer(inputs: readonly TensorType[], attrs: OpAttrs[K], context: InferContext): readonly TensorType[];
  cost(inputs: readonly TensorType[], attrs: OpAttrs[K], results: readonly TensorType[]): Cost;
  /** What its operations count as; absent: other work. */
  readonly work?: "products" | "attention";
  /** What the operator means: plain loops, 64-bit floats, no cleverness. */
  evaluate(inputs: readonly Tensor[], attrs: OpAttrs[K], context: EvaluateContext): readonly Tensor[];
  /**
   * Whether zeros at an input make zeros, whatever the others hold; of `where` and `concat` the other values must be
   * zero too.
   */
  readonly linear?: (input: number) => boolean;
  readonly rows: Rows<K> | null;
  readonly tokens: Tokens | ((node: Node<K>, along: Along) => Tokens);
  readonly columns: Columns | ((node: Node<K>) => Columns);
  /**
   * An explicit null where it is not differentiable: nothing flows through it. Cotangents are of the types of the
   * inputs.
   */
  readonly grad: Grad<K> | null;
  /** Inputs that are the starts of an axis. Types cannot tell whose; the verifier holds them to it. */
  readonly starts?: (node: Node<K>, axes: readonly Axis[]) => StartsRead;
  /** Inputs that decide which rows are chosen. They stay exact however other values are stored. */
  readonly chooses?: readonly number[];
  /** How much it touches of input 0 and of its result; absent: all. */
  readonly touches?: (node: Node<K>) => Touched;
  /** `again`: the backward pass computes the result once more rather than keep it, as it does with pointwise work. */
  readonly saved?: "again";
  /** Whether the kernels of its gradient can compute the inputs that it reads. */
  readonly gradComputes?: true;
  /** Of the kind that the vocabulary says. */
  readonly lower: Lowering<K>[P];
}

/** Total by type: an operator without a record does not compile. */
export type OpTable = { readonly [K in OpName]: OpDef<K> };
