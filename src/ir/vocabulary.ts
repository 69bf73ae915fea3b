// The vocabulary of the IR: every operator and the types of its attributes. What an operator means stands in its record (`ops/`).
import type { DType } from "../size/dtype.js";
import type { Size } from "../size/size.js";

/** The elements from `start` on along one axis of a weight that has `of` of them there; how many, its shape says. */
export interface WeightPart {
  readonly axis: number;
  readonly start: number;
  readonly of: number;
}

/** No attributes. */
export type None = Record<never, never>;

/**
 * In the comments: N = rows(axis), M = rows of another axis, B = sequences; `starts` is u32[B+1], the first packed row of each
 * sequence and, last, the number of rows. Shapes of pointwise inputs broadcast as NumPy's do.
 */
export interface OpAttrs {
  // --- sources
  /** The model's input of that name, packed if it lies along a sequence axis. */
  input: { readonly name: string; readonly dtype: DType; readonly shape: readonly Size[] };
  /** A weight, or a part of one, loaded as if it were a weight of its own. */
  weight: { readonly path: string; readonly dtype: DType; readonly shape: readonly number[]; readonly part?: WeightPart };
  state: { readonly name: string; readonly dtype: DType; readonly shape: readonly Size[] };
  /** A live parameter as an f32 scalar. */
  live: { readonly name: string };
  /** The seed of random values, u32[]: an input of each run. */
  seed: None;
  /** A tensor of one value (for f16: rounded; for bool: 0 or 1). */
  constant: { readonly value: number; readonly dtype: DType; readonly shape: readonly Size[] };
  /** The value of a size, the same for all sequences, as a scalar. */
  size: { readonly size: Size; readonly dtype: "f32" | "u32" | "i32" };
  /** u32[B+1] of an axis whose counts the host knows: of the inputs, or made from such by `top`, `span` or `join`. */
  starts: { readonly axis: string };
  /** f32[positions, width]: cosines of the width/2 angles of each position, then their sines, both times scale. */
  rope_table: {
    readonly positions: Size;
    readonly width: number;
    readonly theta: number;
    readonly frequencies: readonly number[] | null;
    readonly scale: number;
  };

  // --- structure
  /** One result of an operator that has several. */
  pick: { readonly result: number };
  reshape: { readonly shape: readonly Size[] };
  permute: { readonly order: readonly number[] };
  broadcast: { readonly shape: readonly Size[] };
  /** Along a dimension that is not packed. */
  slice: { readonly axis: number; readonly start: number; readonly stop: number };
  concat: { readonly axis: number };
  cast: { readonly dtype: DType };
  /** The same value; no gradient. */
  stop_gradient: None;
  /** The first input, once the others exist; no rewrite rule crosses it. */
  barrier: None;

  // --- pointwise
  add: None;
  sub: None;
  mul: None;
  div: None;
  pow: None;
  min: None;
  max: None;
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  rsqrt: None;
  abs: None;
  sin: None;
  cos: None;
  tanh: None;
  sigmoid: None;
  relu: None;
  silu: None;
  gelu: None;
  gelu_tanh: None;
  softplus: None;
  /** x to a whole power by multiplication. */
  powi: { readonly exponent: number };
  eq: None;
  ne: None;
  lt: None;
  le: None;
  gt: None;
  ge: None;
  and: None;
  or: None;
  not: None;
  /** where(condition, a, b) */
  where: None;

  // --- reductions; a packed dimension counts existing rows only
  sum: { readonly axes: readonly number[]; readonly keep: boolean };
  reduce_max: { readonly axes: readonly number[]; readonly keep: boolean };
  reduce_min: { readonly axes: readonly number[]; readonly keep: boolean };
  /** u32: the first of equals. */
  argmax: { readonly axis: number; readonly keep: boolean };
  softmax: { readonly axis: number };

  // --- products and look-ups
  /** a[…, M, K] @ b[…, K, N]; with `transposed`, b is […, N, K]. Leading dimensions broadcast. */
  matmul: { readonly transposed: boolean };
  /** table[V, …], indices u32[…] → indices.shape + table.shape[1:]. Indices beyond read the last row; `lower` makes signed ones row numbers. */
  gather: None;

  // --- sequences
  /** starts → u32[N]: 0 … n − 1 for each sequence. */
  positions: { readonly axis: string };
  /** starts → u32[N]: the sequence of each row. */
  segments: { readonly axis: string };
  /**
   * counts u32[B], starts(axis) (, starts of a longer axis) → u32[N]: the place of each row in its sequence, behind the rows that the sequence had before, `counts`;
   * with the third input, the row of the longer axis at that place.
   */
  append: { readonly axis: string };
  /** starts → u32[B] */
  counts: None;
  /** x[…, N, …], starts → [B, …, T, …]: B in front, the packed dimension `dim` padded with zeros to the longest sequence. */
  unpack: { readonly dim: number; readonly axis: string };
  /** [B, …, T, …], starts → […, N, …]: the inverse; `dim` is the packed dimension of the result. */
  pack: { readonly dim: number; readonly axis: string };
  /** starts of any axis → u32[rows(axis)], `axis` having one row for each sequence: the last row of the sequence there; of one without rows, the last before. */
  last: { readonly axis: string };
  /** x[B, …, T, …], starts → x with `fill` where the index along `dim` is not below the sequence's count. */
  mask: { readonly dim: number; readonly fill: number };

  // --- routing
  /** score[N], starts(parent), starts(counting axis) → index u32[M] (packed rows of the parent, ascending), starts(axis), positions u32[M] (the place of each row in its sequence of the parent). k stands in the axis's count rule. */
  top: { readonly axis: string };
  /** score[N], threshold f32[] or f32[N], starts(parent) → index u32[M], starts(axis): rows with score > threshold. */
  above: { readonly axis: string };
  /** starts(parent) → index u32[M], starts(axis): rows of the slice in the axis's count rule. */
  span: { readonly axis: string };
  /** starts of each part → starts(axis), then for each part u32[rows(part)]: the row of the joined axis where each of its rows goes. */
  join: { readonly axis: string };
  /** x[…, N, …], index u32[M] → […, M, …] along `dim`. */
  take: { readonly dim: number };
  /** x[…, N, …], index u32[M], y[…, M, …] → x with y added to the rows `index`; every other row bit for bit as it was. Indices are distinct. */
  put: { readonly dim: number };
  /** The same, replacing the rows. */
  set: { readonly dim: number };
  /** index u32[M], starts(parent) → bool[N]: true at the rows of `index`. `axis` is the parent. */
  route_mask: { readonly axis: string };

  // --- attention
  /** x[…, N, d], positions u32[N], rope_table → halves rotated: (x1·cos − x2·sin, x2·cos + x1·sin). */
  rope: None;
  /**
   * q[H, N, d], k[G, M, d], v[G, M, e], starts of q, starts of k, positions of q u32[N], of k u32[M] → [H, N, e].
   * G divides H. Within a sequence, causal: i sees j where pos(j) ≤ pos(i); window w > 0: also |pos(i) − pos(j)| < w. No key: zeros.
   */
  attention: { readonly causal: boolean; readonly window: number; readonly scale: number };

  // --- losses
  /** logits[…, V], targets[…] (u32 or i32; negative: ignored, 0) → f32[…]: −log softmax at the target. */
  cross_entropy: None;
  /**
   * (sums before f32[…, 3],) logits[…, C], targets[…] → f32[…, 3]: of each row of the logits of classes `first` … first + C − 1, after those before: the largest
   * m, Σ exp(logit − m), and the logit of the target (0 where it has not come yet); targets are held at the last of all `classes`.
   */
  class_sums: { readonly first: number; readonly classes: number };

  // --- gradients
  /** a[N, K], b[N, M] → [K, M]: Σ over n of a[n, ·]ᵀ b[n, ·]. */
  contract: None;
  /** indices u32[…], dy[…, D…] → [rows, D…]: for each row of a table the sum of what came to those who looked it up; indices beyond read the last row. */
  gather_grad: { readonly rows: Size };
  /** logits[…, V], targets[…] (u32 or i32), dloss f32[…] → […, V]: (softmax − 1 at the target) · dloss; zeros where the target is negative. */
  cross_entropy_grad: None;
  /**
   * logits[…, C], sums f32[…, 3], targets[…] (u32 or i32), dloss f32[…] → […, C]: `cross_entropy_grad` for the classes `first` … first + C − 1 of all `classes`, by the
   * `class_sums` of all of them.
   */
  class_grad: { readonly first: number; readonly classes: number };
  /** As `attention`, and f32[H, N]: log Σ over the keys a query sees of exp(scaled score); 0 where it sees none. */
  attention_kept: { readonly causal: boolean; readonly window: number; readonly scale: number };
  /**
   * q, k, v, starts of q, starts of k, positions of q, of k, the f32[H, N] of `attention_kept`, f32[H, N] Σ over the columns of dy · y, dy[H, N, e]
   * → dq, dk, dv.
   */
  attention_grad: { readonly causal: boolean; readonly window: number; readonly scale: number };

  // --- optimisers
  /**
   * w, m, v, g (one shape, f32), f32[5] = learning rate, weight decay, 1 − beta1^t, 1 − beta2^t, factor on g → w, m, v after a step of AdamW
   * (Loshchilov and Hutter 2019, arXiv 1711.05101).
   */
  adamw: { readonly beta1: number; readonly beta2: number; readonly eps: number };
  /** w, m, g (one shape, f32), f32[3] = learning rate, weight decay, factor on g → w, m after a step of gradient descent with momentum. */
  sgd: { readonly momentum: number; readonly nesterov: boolean };

  // --- sampling
  /**
   * logits f32[S, V], settings f32[S, 7] (`size/sampling.ts`), seeds u32[S, 2], positions u32[S], bias f32[S, V], seen u32[S, ceil(V / 32)] (`mark`) → the
   * next token u32[S], and f32[S] the log of its probability under the logits as they came (0 where not asked for). Draws depend on seed and position alone.
   * Where the largest adjusted logit is NaN or infinite the first such is taken; where that of the logits is, the log-probability is NaN.
   */
  sample: None;
  /** A set of tokens for each sequence u32[S, words], tokens u32[N], starts, or tokens u32[S] alone → the set with the tokens of each sequence added; tokens beyond its words are none. */
  mark: None;

  // --- random; keyed by seed, stream, position and channel, never by row or batch
  /** seed, positions u32[N] (or nothing where no packed dimension exists) → f32 of `shape`, packed dimension `dim` (or null). */
  random_uniform: { readonly shape: readonly Size[]; readonly dim: number | null; readonly stream: number };
  random_normal: { readonly shape: readonly Size[]; readonly dim: number | null; readonly stream: number };
}

export type OpName = keyof OpAttrs;

export type PointwiseOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "pow"
  | "min"
  | "max"
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "rsqrt"
  | "abs"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "relu"
  | "silu"
  | "gelu"
  | "gelu_tanh"
  | "softplus"
  | "powi"
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "and"
  | "or"
  | "not"
  | "where"
  | "cast";
