// What an operator's record holds.
import type { Node } from "../ir/graph.js";
import type { InferContext } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs, OpName } from "../ir/vocabulary.js";
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
export type EmitGrad = <K extends OpName>(op: K, inputs: readonly Node[], attrs: OpAttrs[K]) => Node<K>;

/** Cotangents of the inputs, null for those that have none, from those of the results, null for those that nothing of the loss reads. */
export type Grad<K extends OpName> = (emit: EmitGrad, node: Node<K>, dys: readonly (Node | null)[]) => readonly (Node | null)[];

export interface OpDef<K extends OpName> {
  /** One sentence: what it computes. */
  readonly doc: string;
  /** Types of the results; throws TypeMismatch where the inputs do not fit. */
  infer(inputs: readonly TensorType[], attrs: OpAttrs[K], context: InferContext): readonly TensorType[];
  cost(inputs: readonly TensorType[], attrs: OpAttrs[K], results: readonly TensorType[]): Cost;
  /** What the operator means: plain loops, 64-bit floats, no cleverness. */
  evaluate(inputs: readonly Tensor[], attrs: OpAttrs[K], context: EvaluateContext): readonly Tensor[];
  /** An explicit null where it is not differentiable: nothing flows through it. Cotangents are of the types of the inputs. */
  readonly grad: Grad<K> | null;
  readonly lower:
    /** Read from a slot the runtime fills. */
    | { readonly kind: "source" }
    /** The same memory as the first input. */
    | { readonly kind: "view" }
    /**
     * An expression of WGSL over the arguments' elements. f16 values travel as f32 (the expression rounds its result to f16); bool as bool.
     * Each argument stands once in it; it may call the functions of `wgslHelpers` (`ops/wgsl.ts`). `constant` has no arguments.
     */
    | { readonly kind: "pointwise"; wgsl(args: readonly string[], attrs: OpAttrs[K], inputs: readonly TensorType[]): string }
    /** Kernels of its own: `schedule/kernels/`. */
    | { readonly kind: "kernel" };
  /** For each result, from the first on: index of the input whose memory it may take over when nothing else reads that. */
  readonly inPlace?: readonly number[];
}

/** Total by type: an operator without a record does not compile. */
export type OpTable = { readonly [K in OpName]: OpDef<K> };
