// The language's operations, a row each: its attributes, what kind of thing it is, and which tokens it reads. The types
// of values follow from the rows, and the checks of a finished model ask them.
import type { DType } from "../base/dtype.js";
import type { PlainPointwiseOp } from "../ir/vocabulary.js";
import type { Size } from "../size/size.js";

/**
 * A tensor as the language sees it: `f32[B, T, dim]`, sequences side by side, nothing packed.
 * A dimension that is exactly an axis atom of a sequence axis lies along that sequence.
 * The batch, where there is one, is the first dimension and no other; sequence dimensions stand only behind it.
 */
export interface LogicalType {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}

/** Elementwise functions; all broadcast as NumPy does. The names are those of the IR's pointwise operators. */
export type PointwiseName = PlainPointwiseOp;

/**
 * - `source`: from outside, or from the text; no data flows into it;
 * - `elementwise`: an element from those that broadcasting pairs; `structure`: elements moved;
 * - `compute`: what a model is drawn as made of;
 * - `choice`: of rows: its value is a route; `route`: what is done by one, or told of it;
 * - `random`.
 */
export type OperationKind = "source" | "elementwise" | "structure" | "compute" | "choice" | "route" | "random";

/** What a row may ask about the value of an operation. */
interface Applied<A> {
  readonly attrs: A;
  readonly inputs: readonly { readonly type: LogicalType }[];
}

/** Which sizes have to do with sequences. */
export interface Lengths {
  /** Whether a dimension lies along a sequence. */
  readonly along: (size: Size | undefined) => boolean;
  /** Whether a size mentions the length of one. */
  readonly mentions: (size: Size) => boolean;
}

/**
 * The tokens of the sequence that a token of the result is made from: its `own`, with earlier ones at most; or a clause
 * that says how it reads later ones, null where it does not. `choice`: which tokens there are depends on all of them.
 * Broadcasting that pairs tokens need not be told.
 */
type Tokens<A> = "own" | "choice" | ((value: Applied<A>, lengths: Lengths) => string | null);

export interface Operation<A> {
  readonly kind: OperationKind;
  readonly tokens: Tokens<A>;
  /** No gradient flows through it, be its result and inputs floats. */
  readonly stops?: true;
  /** The rows of its first input stand in the result as they are, but for shape and type. */
  readonly carries?: true;
}

const source = <A>(tokens: Tokens<A> = "own"): Operation<A> => ({ kind: "source", tokens });
const elementwise = <A>(more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "elementwise",
  tokens: "own",
  ...more,
});
const structure = <A>(tokens: Tokens<A>, more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "structure",
  tokens,
  ...more,
});
const compute = <A>(tokens: Tokens<A>): Operation<A> => ({ kind: "compute", tokens });
const choice = <A>(tokens: Tokens<A>): Operation<A> => ({ kind: "choice", tokens });
const route = <A>(tokens: Tokens<A>, more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "route",
  tokens,
  ...more,
});
const random = (): Operation<{ readonly stream: string }> => ({ kind: "random", tokens: "own", stops: true });

interface Nothing {}

/** Always so. */
const told = (clause: string) => (): string => clause;

/** A mean over all elements. */
const meanLoss = ({ inputs: [x] }: Applied<Nothing>, { along }: Lengths): string | null =>
  x?.type.shape.some(along) ? "this loss is a mean over all tokens" : null;

const rows = {
  /** An input of the entered function. */
  input: source<{ readonly name: string }>(),
  weight: source<{ readonly path: string }>(),
  /** A live parameter as an f32 scalar. */
  live: source<{ readonly name: string }>(),
  /** A compile-time number as a scalar of the value's dtype. */
  number: source<{ readonly value: number }>(),
  /**
   * A size as a value. Shape [] where it is the same for all sequences; [B, 1, … 1] where it mentions a sequence axis
   * and so differs. dtype f32, u32 or i32. Its inputs are the values that made those axes (top, above, span, join), so
   * that they are reached.
   */
  length: source<{ readonly size: Size }>(({ attrs }, { mentions }) =>
    mentions(attrs.size) ? "the length of the sequence is known at its end" : null,
  ),
  pointwise: elementwise<{ readonly fn: PointwiseName }>(),
  /** x to a whole power, by multiplication. */
  powi: elementwise<{ readonly exponent: number }>(),
  cast: elementwise<Nothing>({ carries: true }),
  /**
   * `axes` ascending, from 0. `argmax` has one axis, dtype u32. Along sequence axes only existing tokens count; the
   * mean of none is 0.
   */
  reduce: compute<{
    readonly fn: "sum" | "mean" | "max" | "min" | "var" | "argmax";
    readonly axes: readonly number[];
    readonly keep: boolean;
  }>(({ attrs: { fn, axes }, inputs: [x] }, { along }) =>
    axes.some((a) => along(x?.type.shape[a])) ? `\`${fn}\` reads all tokens of the sequence` : null,
  ),
  softmax: compute<{ readonly axis: number }>(({ attrs: { axis }, inputs: [x] }, { along }) =>
    along(x?.type.shape.at(axis)) ? "`softmax` reads all tokens of the sequence" : null,
  ),
  /**
   * a[…, M, K] @ b[…, K, N], leading dimensions broadcast as NumPy's; a or b may be one-dimensional as in NumPy (the
   * checker has reshaped them away).
   */
  matmul: compute<Nothing>(({ inputs: [a, b] }, { along }) => {
    if (along(a?.type.shape.at(-1))) return "this product sums over the sequence";
    const pairs = along(b?.type.shape.at(-1)) && along(a?.type.shape.at(-2));
    return pairs ? "this product pairs a token with all others" : null;
  }),
  /**
   * To the value's type. Batch and sequence dimensions survive in order; only static ones are split, merged, added or
   * dropped.
   */
  reshape: structure<Nothing>("own", { carries: true }),
  /** Dimension i of the result is dimension order[i] of the input. */
  permute: structure<{ readonly order: readonly number[] }>("own", { carries: true }),
  /** Along a dimension that is no sequence axis; clamped already. */
  slice: structure<{ readonly axis: number; readonly start: number; readonly stop: number }>("own"),
  /**
   * Tokens of a slice along a sequence axis, on the fresh axis of the value's type at that dimension (count rule
   * `span`).
   */
  span: structure<{ readonly dim: number; readonly axis: string }>(
    told("indexing along the sequence reads other tokens"),
  ),
  /**
   * One token of each sequence along its sequence axis at `dim` (that dimension is dropped); negative from the end;
   * zeros where there is none.
   */
  token: structure<{ readonly dim: number; readonly index: number }>(
    told("indexing along the sequence reads other tokens"),
  ),
  concat: structure<{ readonly axis: number }>("own"),
  /** Concatenation along sequence axes, on a fresh axis (count rule `join`). */
  join: structure<{ readonly dim: number; readonly axis: string }>(
    told("concatenation along the sequence moves tokens"),
  ),
  /** table[V, …] by indices[…]: shape is that of indices, then the rest of table's. */
  gather: compute<Nothing>("own"),
  /**
   * x[…, d] turned by its positions; `dim` is the sequence dimension. `frequencies` replaces theta's (d/2 of them);
   * `scale` multiplies sine and cosine.
   */
  rope: compute<{
    readonly dim: number;
    readonly theta: number;
    readonly frequencies: readonly number[] | null;
    readonly scale: number;
  }>("own"),
  /** q[B, …, Tq, d], k[B, …, Tk, d], v[B, …, Tk, e]; window 0 is none; scale null is 1/√d. */
  attention: compute<{ readonly causal: boolean; readonly window: number; readonly scale: number | null }>(
    ({ attrs }) => (attrs.causal ? null : "attention without `causal: true` sees later tokens"),
  ),
  /** inputs [x]: u32[B, T], the positions in the model's input of the tokens on the axis of x. */
  position: route<{ readonly axis: string }>("own"),
  /**
   * inputs [score[B, T]]; `axis` is the sequence axis it makes, whose count rule holds k. The value is the route; its
   * type u32[B, axis].
   */
  top: choice<{ readonly axis: string }>("choice"),
  /** inputs [score[B, T], threshold (scalar or [B, T])]. */
  above: choice<{ readonly axis: string }>("own"),
  /** inputs [x, route]; `dim` is the sequence dimension of x. */
  take: route<{ readonly dim: number }>("own"),
  /** inputs [x, route, y]: y added to the chosen rows of x. */
  put: route<{ readonly dim: number }>("own", { carries: true }),
  /** inputs [route]: bool[B, T]; u32[B, K] relative to the axis it was chosen on; u32[B]. */
  mask: route<Nothing>("own"),
  index: route<Nothing>("own"),
  count: route<Nothing>(told("how many tokens a route chose is known at the end of the sequence")),
  /** inputs [logits[…, V], targets[…]]: scalar mean. */
  cross_entropy: compute<Nothing>(meanLoss),
  /** inputs [logit, target (bool or f32)]: scalar mean. */
  bce: compute<Nothing>(meanLoss),
  stop_gradient: structure<Nothing>("own", { carries: true, stops: true }),
  /** Only in train; elsewhere the checker passes x on. `stream` names the call, for random values. */
  dropout: elementwise<{ readonly p: number; readonly stream: string }>({ carries: true }),
  /** inputs [like], for its shape only. */
  random_normal: random(),
  random_uniform: random(),
};

type Rows = typeof rows;
type AttrsOfRow<R> = R extends Operation<infer A> ? A : never;
type AttrsByOperation = { readonly [K in keyof Rows]: AttrsOfRow<Rows[K]> };

/** The attributes of each operation. */
export interface LogicalAttrs extends AttrsByOperation {}

export type LogicalOp = keyof Rows;

export const operations: { readonly [K in LogicalOp]: Operation<LogicalAttrs[K]> } = rows;
