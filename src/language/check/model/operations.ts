// The table of the language's operations: attributes, kind and token dependence for each. The types of values derive
// from this table, and checks of a finished model read it.
import type { DType } from "../../../ground/base/dtype.js";
import type { PlainPointwiseOp } from "../../../compiler/ir/vocabulary.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { Size } from "../../../ground/size/size.js";

/**
 * The type of a tensor in the language: `f32[B, T, dim]`, unpacked. A dimension whose size is exactly the axis atom of
 * a sequence axis is along that sequence. The batch, if any, is the first dimension and no other; sequence dimensions
 * occur only after it.
 */
export interface LogicalType {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}

/** Elementwise functions, with NumPy broadcasting. The names equal the IR's pointwise operators. */
export type PointwiseName = PlainPointwiseOp;

/**
 * Kinds of operations.
 * - `source`: a value from outside or from the text, without data flowing in;
 * - `elementwise`: a function of elements paired by broadcasting; `structure`: moves elements;
 * - `compute`: an operation that diagrams of a model show;
 * - `choice`: chooses rows; its value is a route; `route`: uses a route;
 * - `entries`: chooses entries of an axis of fixed size;
 * - `random`.
 */
export type OperationKind =
  | "source"
  | "elementwise"
  | "structure"
  | "compute"
  | "choice"
  | "entries"
  | "route"
  | "random";

/** The properties of an operation's value that a table row may use. */
interface Applied<A> {
  readonly attrs: A;
  readonly inputs: readonly { readonly type: LogicalType }[];
}

/** Predicates on sizes with regard to the sequences that grow when generating. */
export interface Lengths {
  /** Whether a dimension is along such a sequence. */
  readonly along: (size: Size | undefined) => boolean;
  /** Whether a size mentions the length of such a sequence. */
  readonly mentions: (size: Size) => boolean;
}

/**
 * The tokens of the sequence on which a token of the result depends.
 * `own`: only itself and earlier tokens. A function: returns a clause that describes how the operation reads later
 * tokens, or null if it does not. `choice`: the existence of a token depends on all tokens.
 * Broadcasting that pairs tokens is checked separately.
 */
type Tokens<A> = "own" | "choice" | ((value: Applied<A>, lengths: Lengths) => string | null);

export interface Operation<A> {
  readonly kind: OperationKind;
  readonly tokens: Tokens<A>;
  /** Whether it blocks gradients, even between floats. */
  readonly stops?: true | ((attrs: A) => boolean);
  /** Whether the operation only reads the shape and axes of its inputs, not their elements. */
  readonly measures?: true;
  /** Whether the rows of its first input are summands of the result, up to shape and type. */
  readonly carries?: true;
}

const source = <A>(tokens: Tokens<A> = "own", more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "source",
  tokens,
  ...more,
});
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
const compute = <A>(tokens: Tokens<A>, more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "compute",
  tokens,
  ...more,
});
const choice = <A>(tokens: Tokens<A>): Operation<A> => ({ kind: "choice", tokens });
const entries = <A>(tokens: Tokens<A>): Operation<A> => ({ kind: "entries", tokens });
const route = <A>(tokens: Tokens<A>, more: Partial<Operation<A>> = {}): Operation<A> => ({
  kind: "route",
  tokens,
  ...more,
});
const random = (): Operation<{ readonly stream: string }> => ({
  kind: "random",
  tokens: "own",
  stops: true,
  measures: true,
});

interface Nothing {}

/** Ranges of a choice's entries. */
type Members = readonly { readonly first: number; readonly count: number }[];

/**
 * `axis` is the axis of the sorted entries, K. `members` are some of the `of` entries among which the choice was made.
 * Kinds called together as one list share a `call`.
 */
interface Sorting {
  readonly axis: string;
  readonly members: Members;
  readonly of: number;
  readonly call: string;
}

/** The options of an attention that reads values of pairs of tokens; the flags say which further inputs there are. */
interface PairOptions {
  readonly causal: boolean;
  readonly window: number;
  readonly scale: number | null;
  /** Scores are cap · tanh(score / cap); null: as they are. */
  readonly cap: number | null;
  readonly weight: boolean;
  readonly mask: boolean;
  readonly bias: boolean;
}

const unlessCausal = (
  { attrs, inputs: [, k] }: Applied<{ readonly causal: boolean }>,
  { along }: Lengths,
): string | null =>
  attrs.causal || !along(k?.type.shape.at(-2)) ? null : "attention without `causal: true` sees later tokens";

/** A clause for every value with an input that lies along the sequence. */
const ofInputs =
  <A>(clause: string) =>
  ({ inputs }: Applied<A>, { along }: Lengths): string | null =>
    inputs.some(({ type }) => type.shape.some(along)) ? clause : null;

/** A mean over all elements. */
const meanLoss = ({ inputs: [x] }: Applied<Nothing>, { along }: Lengths): string | null =>
  x?.type.shape.some(along) ? "this loss is a mean over all tokens" : null;

const OTHER_TOKENS = "indexing along the sequence reads other tokens";

const rows = {
  /** An input of the entered function. */
  input: source<{ readonly name: string }>(),
  weight: source<{ readonly path: string }>(),
  /** A tensor that updates move: loaded as a weight is, and constant within a run. No gradient reaches it. */
  state: source<{ readonly path: string }>(),
  /** A live parameter as an f32 scalar. */
  live: source<{ readonly name: string }>(),
  /** A compile-time number as a scalar of the value's dtype. */
  number: source<{ readonly value: number }>(),
  /** Compile-time numbers as a tensor f32[…], row by row. */
  literal: source<{ readonly values: readonly number[] }>(),
  /**
   * A size as a value. Shape [] if the size is the same for all sequences; [B, 1, … 1] if it mentions a sequence axis.
   * dtype f32, u32 or i32. The inputs are the values that defined these axes (top, above, span, join), so that they are
   * reachable.
   */
  length: source<{ readonly size: Size }>(
    ({ attrs }, { mentions }) => (mentions(attrs.size) ? "the length of the sequence is known only at its end" : null),
    { measures: true },
  ),
  pointwise: elementwise<{ readonly fn: PointwiseName }>({ stops: ({ fn }) => fn === "floor" }),
  /** x to an integer power, by multiplication. */
  powi: elementwise<{ readonly exponent: number }>(),
  cast: elementwise<Nothing>({ carries: true }),
  /**
   * `axes` ascending, from 0. `argmax` has one axis, dtype u32. Along sequence axes only existing tokens count; the
   * mean over no elements is 0. Further inputs, with the same rank as the first, are masks of existing elements.
   */
  reduce: compute<{
    readonly fn: "sum" | "mean" | "max" | "min" | "var" | "argmax";
    readonly axes: readonly number[];
    readonly keep: boolean;
  }>(({ attrs: { fn, axes }, inputs: [x] }, { along }) =>
    axes.some((a) => along(x?.type.shape[a])) ? `\`${fn}\` reads all tokens of the sequence` : null,
  ),
  /** Further inputs as for `reduce`; elements that do not exist are 0 in the result. */
  softmax: compute<{ readonly axis: number }>(({ attrs: { axis }, inputs: [x] }, { along }) =>
    along(x?.type.shape.at(axis)) ? "`softmax` reads all tokens of the sequence" : null,
  ),
  /**
   * a[…, M, K] @ b[…, K, N]; leading dimensions broadcast as in NumPy. One-dimensional operands follow NumPy, too (the
   * checker has reshaped them away).
   */
  matmul: compute<Nothing>(({ inputs: [a, b] }, { along }) => {
    if (along(a?.type.shape.at(-1))) return "this product sums over the sequence";
    const pairs = along(b?.type.shape.at(-1)) && along(a?.type.shape.at(-2));
    return pairs ? "this product pairs a token with all others" : null;
  }),
  /**
   * Reshapes to the value's type. Batch and sequence dimensions keep their order; only static ones are split, merged,
   * added or dropped.
   */
  reshape: structure<Nothing>("own", { carries: true }),
  /** Dimension i of the result is dimension order[i] of the input. */
  permute: structure<{ readonly order: readonly number[] }>("own", { carries: true }),
  /** A slice along a dimension that is not a sequence; start and stop are clamped. */
  slice: structure<{ readonly axis: number; readonly start: number; readonly stop: number }>("own"),
  /** A slice of tokens along a sequence axis. The dimension gets a new axis (count rule `span`). */
  span: structure<{ readonly dim: number; readonly axis: string }>(({ attrs: { dim }, inputs: [x] }, { along }) =>
    along(x?.type.shape[dim]) ? OTHER_TOKENS : null,
  ),
  /**
   * One token of each sequence along its sequence axis at `dim` (drops that dimension); negative indices count from the
   * end; zeros if there is no such token.
   */
  token: structure<{ readonly dim: number; readonly index: number }>(({ attrs: { dim }, inputs: [x] }, { along }) =>
    along(x?.type.shape[dim]) ? OTHER_TOKENS : null,
  ),
  /** x[B, n, …] → [B, N, …]: a fixed dimension as the tokens of `axis` (count rule `fixed`). */
  sequence: structure<{ readonly axis: string }>("own"),
  /**
   * inputs [x[B, S, …], index[B, …], u32 or i32] → the index's shape, then the rest of x's: rows of the same sequence.
   * A negative index counts from the end, and one outside reads the nearest row; zeros if the sequence has none.
   */
  rows: compute<Nothing>(({ inputs: [x] }, { along }) =>
    along(x?.type.shape[1]) ? "`rows` along the sequence reads other tokens" : null,
  ),
  concat: structure<{ readonly axis: number }>("own"),
  /** Concatenation along sequence axes, onto a new axis (count rule `join`). */
  join: structure<{ readonly dim: number; readonly axis: string }>(({ attrs: { dim }, inputs }, { along }) =>
    inputs.some(({ type }) => along(type.shape[dim])) ? "concatenation along the sequence moves tokens" : null,
  ),
  /** table[V, …] by indices[…]; shape: the indices' shape, then the rest of the table's shape. */
  gather: compute<Nothing>("own"),
  /**
   * x[…, d] with rotary embedding; `dim` is the sequence dimension. `frequencies` (d/2 numbers) replaces the
   * frequencies derived from theta; `scale` multiplies sine and cosine.
   */
  rope: compute<{
    readonly dim: number;
    readonly theta: number;
    readonly frequencies: readonly number[] | null;
    readonly scale: number;
  }>("own"),
  /**
   * q[B, …, Tq, d], k[B, …, Tk, d], v[B, …, Tk, e] (, key weights f32[B, Tk]); window 0: no window; scale null: 1/√d.
   */
  attention: compute<{ readonly causal: boolean; readonly window: number; readonly scale: number | null }>(
    unlessCausal,
  ),
  /**
   * `attention` with further inputs, in this order: weight f32[B, Tk], mask bool[B, (H,) Tq, Tk], bias f32[B, (H,) Tq,
   * Tk]. Heads of mask and bias may be 1.
   */
  pair_attention: compute<PairOptions>(unlessCausal),
  /** inputs q, k and the further inputs of `pair_attention`: f32[B, …, Tq], log Σ weight · exp(score); −1e30 for none. */
  mass: compute<PairOptions>(unlessCausal),
  /** q[B, …, Tq, d], k[B, …, Tk, d]: f32[B, …, Tk], with the heads of q. */
  received: compute<{ readonly causal: boolean; readonly window: number; readonly scale: number | null }>(
    ofInputs("the attention that a token receives is known only after all queries"),
    { stops: true },
  ),
  /** inputs [x]: the row `by` before each on the sequence axis at `dim`; `by` below 0: behind it. Zeros past the ends. */
  shift: structure<{ readonly dim: number; readonly by: number }>(({ attrs }) =>
    attrs.by < 0 ? "`later` reads later tokens" : null,
  ),
  /**
   * inputs [x (, log decay, which broadcasts to x)]: y_t = exp(log decay_t) · y_(t−1) + x_t along the sequence axis at
   * `dim`; a decay of 0 begins anew. `reverse`: from the end.
   */
  scan: compute<{ readonly dim: number; readonly reverse: boolean }>(({ attrs }) =>
    attrs.reverse ? "`reverse: true` reads later tokens" : null,
  ),
  /**
   * inputs [q[B, G, T, K], k[B, G, T, K], v[B, H, T, V] (, log decay [B, H, T] or [B, H, T, K]) (, forget, at: [B, G,
   * T, K])] → [B, H, T, V]. G divides H, and may differ between inputs; a log decay may have 1 for H, or shape [].
   */
  linear_attention: compute<{ readonly decays: boolean; readonly forgets: boolean; readonly scale: number }>("own"),
  /** inputs [x]: u32[B, T], the positions in the model's input of the tokens on the axis of x. */
  position: route<{ readonly axis: string }>("own", { measures: true }),
  /**
   * inputs [score[B, T]]; `axis` is the sequence axis that it defines, whose count rule contains k. The value is the
   * route; its type is u32[B, axis].
   */
  top: choice<{ readonly axis: string }>("choice"),
  /** inputs [score[B, T], threshold (scalar or [B, T])]. */
  above: choice<{ readonly axis: string }>("own"),
  /** inputs [mask bool[B, T]]: chooses the tokens at which the mask is true. */
  those: choice<{ readonly axis: string }>("own"),
  /**
   * inputs [score[B, T, E]] → bool[B, T, E]: for each entry the k best tokens in each sequence. The count rule of
   * `axis` contains k; `axis` has as many tokens as each entry chooses.
   */
  top_tokens: entries<{ readonly axis: string }>("choice"),
  /**
   * inputs [score[…, E]]: for each position of the other axes the k best entries of the last axis. The value is the
   * choice, with type u32[…, k], ascending. `choice` is the path under which the choice is observed, or empty.
   */
  top_entries: entries<{ readonly k: number; readonly choice: string }>("own"),
  /**
   * inputs [mask[…, E]]: for each position of the other axes the entries at which the mask is true. The value is the
   * choice, as for `top_entries`.
   */
  those_entries: entries<{ readonly expected: Rational; readonly choice: string }>("own"),
  /** inputs [choice] → bool[…, K]: whether each slot of a token holds an entry. */
  entry_exists: structure<Nothing>("own"),
  /** inputs [choice] → u32[…, k]: the entries as a tensor, with the choice's type. */
  entry_index: structure<Nothing>("own"),
  /** inputs [choice] → bool[…, E], with the score's shape. */
  entry_mask: structure<Nothing>("own"),
  /** inputs [choice] → u32[…]: the number of entries at each position. */
  entry_count: structure<Nothing>("own"),
  /** inputs [x[…, E], choice] → […, k]: the chosen entries. */
  take_entries: compute<Nothing>("own"),
  /** inputs [x[…, E], choice, y[…, k]]: y added to the chosen entries of x. */
  put_entries: compute<Nothing>("own"),
  /**
   * inputs [x[…, T, k, …], choice, route of the tokens that chose `entry`] → […, K, …]: for each token of the route the
   * element of x at the slot that holds `entry`. `dim` is the sequence dimension of x; the next dimension holds the
   * entries.
   */
  take_entry: route<{ readonly dim: number; readonly entry: number }>("own"),
  /**
   * inputs [choice, then for each entry e in order the route of the tokens that chose e, and y_e[…, K_e, …]] → […, T,
   * k, …]: if slot j of token t holds entry e, the result there is t's row in y_e. `dim` is the sequence dimension.
   */
  join_entries: route<{ readonly dim: number }>("own"),
  /**
   * inputs: one weight for each expert, all with one type. Each row on the axis of sorted entries reads its expert's
   * weight.
   */
  expert_weight: structure<Nothing>("own"),
  /** inputs [choice] → bool[…, k]: whether each entry is one of the members. */
  entry_members: structure<{ readonly members: Members }>("own"),
  /**
   * inputs [x[B, T, …], choice] → [B, K, …]: a row for each entry of a token, sorted by entry, then by token; entries
   * that are not members come last. Operations between `sort_rows` and `unsort_entries` compute row by row.
   */
  sort_rows: route<Sorting>("own"),
  /** inputs [x[B, T, k, …], choice] → [B, K, …]: the element of x for each entry, in the same order as `sort_rows`. */
  sort_entries: route<Sorting>("own"),
  /** inputs [y[B, K, …], choice] → [B, T, k, …]: the row of each entry; zeros for entries that are not members. */
  unsort_entries: route<Sorting>("own"),
  /** inputs [x, route]; `dim` is the sequence dimension of x. */
  take: route<{ readonly dim: number }>("own"),
  /** inputs [x, route, y]: y added to the chosen rows of x. */
  put: route<{ readonly dim: number }>("own", { carries: true }),
  /** inputs [route]: mask bool[B, T]; index u32[B, K], relative to the axis the route was chosen on; count u32[B]. */
  mask: route<Nothing>("own"),
  index: route<Nothing>("own"),
  count: route<Nothing>(ofInputs("the number of tokens that a route chose is known only at the end of the sequence")),
  /** inputs [logits[…, V], targets[…]]: scalar mean. */
  cross_entropy: compute<Nothing>(meanLoss),
  /** inputs [logits[…, V], targets[…]] → f32[…]; 0 where the target is −1. */
  log_probability: compute<Nothing>("own"),
  /** inputs [a[B, d], b[B, d]]: scalar mean of −log softmax(scale·aᵢ·bⱼ over j)[i] over i; reads all sequences. */
  contrast: compute<{ readonly scale: number }>("own"),
  /** inputs [logit, target (bool or f32)]: scalar mean. */
  bce: compute<Nothing>(meanLoss),
  stop_gradient: structure<Nothing>("own", { carries: true, stops: true }),
  /** inputs [hard (bool or f32), soft f32]: the value of the first, the gradient of the second. */
  straight: elementwise<Nothing>(),
  /**
   * +0 everywhere. The inputs are the values that defined the sequence axes, as for `length`, and not the tensor whose
   * type the result has.
   */
  zeros: source<Nothing>("own", { measures: true }),
  /** Only in train; in other phases the checker returns x. `stream` names the call, for random values. */
  dropout: elementwise<{ readonly p: number; readonly stream: string }>({ carries: true }),
  /** inputs [like], for its shape only. */
  random_normal: random(),
  random_uniform: random(),
};

type Rows = typeof rows;
type AttrsOfRow<R> = R extends Operation<infer A> ? A : never;
type AttrsByOperation = { readonly [K in keyof Rows]: AttrsOfRow<Rows[K]> };

export interface LogicalAttrs extends AttrsByOperation {}

export type LogicalOp = keyof Rows;

export const operations: { readonly [K in LogicalOp]: Operation<LogicalAttrs[K]> } = rows;
