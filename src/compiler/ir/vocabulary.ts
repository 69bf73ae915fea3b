// The vocabulary of the IR: every operator with its inputs and attributes. The records in `ops/` define the operators'
// semantics.
import { recurrences } from "./vocabulary-recurrences.js";
import { definesAxis, schemasOf, type AttrsOf, type OpKind, type OpSchema } from "./schema.js";

const source = schemasOf("source");
const constant = schemasOf("constant");
const pick = schemasOf("pick");
const same = schemasOf("same");
const moved = schemasOf("moved");
const pointwise = schemasOf("pointwise");
const kernel = schemasOf("kernel");
const rewritten = schemasOf("rewritten");

/**
 * Notation of the comments: N = rows(axis), M = rows of another axis, B = sequences; `starts` is u32[B+1], the first
 * packed row of each sequence, followed by the number of rows. Shapes of pointwise inputs broadcast as in NumPy.
 */
const vocabulary = {
  // --- sources
  /** The model's input of that name, packed if it has a sequence axis. */
  input: source(0, { name: "text", dtype: "dtype", shape: "sizes" }),
  /** A weight, or a slice of one that is loaded as a separate weight. */
  weight: source(0, { path: "text", dtype: "dtype", shape: "numbers", part: "part" }),
  state: source(0, { name: "text", dtype: "dtype", shape: "sizes" }),
  /** A live parameter as an f32 scalar. */
  live: source(0, { name: "text" }),
  /** The seed of random values, u32[]; set for each run. */
  seed: source(0),
  /** A tensor of one value (for f16: rounded; for bool: 0 or 1). */
  constant: constant(0, { value: "number", dtype: "dtype", shape: "sizes" }),
  /** f32 of `shape`: the values, row by row. */
  literal: source(0, { values: "numbers", shape: "numbers" }),
  /** The value of a size, as a scalar; the size must be the same for all sequences. */
  size: source(0, { size: "size", dtype: "numeric" }),
  /**
   * The starts u32[B+1] of an axis whose counts the host knows: an input axis, or an axis derived from one by `top`,
   * `span` or `join`.
   */
  starts: source(0, { axis: "text" }),
  /**
   * f32[positions, width]: for each position, the cosines of its width/2 angles, then their sines, both multiplied by
   * the scale.
   */
  rope_table: source(0, {
    positions: "size",
    width: "number",
    theta: "number",
    frequencies: "numbersOrNull",
    scale: "number",
  }),

  // --- structure
  /** Result number `result` of an operator with several results. */
  pick: pick(1, { result: "number" }),
  reshape: same(1, { shape: "sizes" }),
  permute: moved(1, { order: "numbers" }),
  broadcast: moved(1, { shape: "sizes" }),
  /** Elements start … stop − 1 along a dimension that is not packed. */
  slice: moved(1, { axis: "number", start: "number", stop: "number" }),
  concat: kernel("any", { axis: "number" }),
  cast: pointwise(1, { dtype: "dtype" }),
  /** f32 → f32: the nearest value that the type `to` holds, ties to even; too large a value becomes infinite. */
  reduce_precision: pointwise(1, { to: "reduced" }),
  /** The same value, with a gradient of zero. */
  stop_gradient: same(1),
  /** hard, soft (f32, one shape): hard, with the gradient of soft. */
  straight: same(2),
  /** The first input, available once the other inputs have been computed. No rewrite rule matches across a barrier. */
  barrier: same("some"),

  // --- pointwise
  add: pointwise(2),
  sub: pointwise(2),
  mul: pointwise(2),
  div: pointwise(2),
  pow: pointwise(2),
  min: pointwise(2),
  max: pointwise(2),
  neg: pointwise(1),
  exp: pointwise(1),
  log: pointwise(1),
  sqrt: pointwise(1),
  rsqrt: pointwise(1),
  abs: pointwise(1),
  sin: pointwise(1),
  cos: pointwise(1),
  tanh: pointwise(1),
  sigmoid: pointwise(1),
  relu: pointwise(1),
  silu: pointwise(1),
  gelu: pointwise(1),
  gelu_tanh: pointwise(1),
  softplus: pointwise(1),
  floor: pointwise(1),
  /** x to an integer power by multiplication. */
  powi: pointwise(1, { exponent: "number" }),
  eq: pointwise(2),
  ne: pointwise(2),
  lt: pointwise(2),
  le: pointwise(2),
  gt: pointwise(2),
  ge: pointwise(2),
  and: pointwise(2),
  or: pointwise(2),
  not: pointwise(1),
  /** where(condition, a, b) */
  where: pointwise(3),

  // --- reductions; a packed dimension counts existing rows only
  sum: kernel(1, { axes: "numbers", keep: "flag" }),
  reduce_max: kernel(1, { axes: "numbers", keep: "flag" }),
  reduce_min: kernel(1, { axes: "numbers", keep: "flag" }),
  /** u32 index of the maximum; of several maxima, the first. */
  argmax: kernel(1, { axis: "number", keep: "flag" }),
  softmax: kernel(1, { axis: "number" }),

  // --- products and look-ups
  /**
   * a[…, M, K] @ b[…, K, N]; with `transposed`, b is […, N, K]. Leading dimensions broadcast. With `roundsB`, the
   * product reads each value of b (f32) rounded to that type, as by `reduce_precision`.
   */
  matmul: kernel(2, { transposed: "flag", roundsB: "reducedIfAny" }),
  /**
   * table[V, …], indices u32[…] → indices.shape + table.shape[1:]. Out-of-range indices read the last row; `lower`
   * converts signed (negative) indices to row numbers.
   */
  gather: kernel(2),

  // --- sequences
  /** starts → u32[N]: 0 … n − 1 for each sequence. */
  positions: kernel(1, { axis: "text" }),
  /** starts → u32[N]: the index of the sequence of each row. */
  segments: kernel(1, { axis: "text" }),
  /**
   * counts u32[B], starts(axis) (, starts of a longer axis) → u32[N]: the position of each row in its sequence, offset
   * by `counts`, the sequence's number of rows before this run; with the third input, the row of the longer axis at
   * that position.
   */
  append: kernel([2, 3], { axis: "text" }),
  /** starts → u32[B] */
  counts: kernel(1),
  /**
   * x[…, N, …], starts → [B, …, T, …]: B first, the packed dimension `dim` padded with zeros to the longest sequence.
   */
  unpack: kernel(2, { dim: "number", axis: "text" }),
  /** [B, …, T, …], starts → […, N, …]: the inverse; `dim` is the packed dimension of the result. */
  pack: kernel(2, { dim: "number", axis: "text" }),
  /**
   * starts of any axis → u32[rows(axis)], where `axis` has one row for each sequence: the row number of the sequence's
   * last row; for a sequence without rows, the row before its start (row 0 if there is none).
   */
  last: kernel(1, { axis: "text" }),
  /** x[B, …, T, …], starts → x with `fill` at every index along `dim` that is not below the sequence's count. */
  mask: kernel(2, { dim: "number", fill: "number" }),

  ...recurrences,

  // --- routing
  /**
   * score[N], starts(parent), starts(counting axis) → index u32[M] (packed rows of the parent, ascending),
   * starts(axis), positions u32[M] (the index of each row within its sequence of the parent). The axis's count rule
   * gives k.
   */
  top: definesAxis(1, kernel(3, { axis: "text" })),
  /**
   * score[N, E], starts(parent), starts(counting axis) → mask bool[N, E], starts(axis): for each of the E columns, the
   * k best rows of each sequence, in the order of `top`. Every column chooses as many rows as the axis has.
   */
  top_rows: definesAxis(1, kernel(3, { axis: "text" })),
  /** score[N], threshold f32[] or f32[N], starts(parent) → index u32[M], starts(axis): rows with score > threshold. */
  above: definesAxis(1, kernel(3, { axis: "text" })),
  /** starts(parent) → index u32[M], starts(axis): the rows of the slice that the axis's count rule describes. */
  span: definesAxis(1, kernel(1, { axis: "text" })),
  /**
   * starts of each part → starts(axis), then for each part u32[rows(part)]: for each row of the part, its destination
   * row on the joined axis.
   */
  join: definesAxis(0, kernel("any", { axis: "text" })),
  /** x[…, N, …], index u32[M] → […, M, …] along `dim`. */
  take: moved(2, { dim: "number" }),
  /**
   * x[…, N, …], index u32[M], y[…, M, …] → x with y added to the rows `index`; every other row keeps its bits. Indices
   * are distinct.
   */
  put: kernel(3, { dim: "number" }),
  /** Like `put`, but replaces the rows instead of adding to them. */
  set: kernel(3, { dim: "number" }),
  /** index u32[M], starts(parent) → bool[N]: true at the rows of `index`. `axis` is the parent. */
  route_mask: kernel(2, { axis: "text" }),

  // --- choices among the entries of the last axis; an index of E or more means no entry
  /**
   * score f32[…, E] → u32[…, k]: the k best entries of the last axis, ascending by index. Among equal scores the lower
   * index is better, −0 equals 0, NaN comes last. `choice` names the choice, so that the reference can be forced to
   * another run's choice.
   */
  top_entries: kernel(1, { k: "number", choice: "text" }),
  /**
   * mask bool[…, E] → u32[…, E]: the entries whose mask is true, ascending, then E, which means no entry. `choice` as
   * for `top_entries`.
   */
  those_entries: kernel(1, { choice: "text" }),
  /** x[…, E], index u32[…, k] → […, k]: the indexed entries; zeros for an index of no entry. */
  take_entries: kernel(2),
  /**
   * x[…, E], index u32[…, k], y[…, k] → x with y added to the indexed entries; every other entry keeps its bits. The
   * indices of a row are distinct.
   */
  put_entries: kernel(3),

  // --- groups of rows, each multiplied by its own matrix
  /**
   * group u32[N, k]: the group of each of the k entries of N rows → entries u32[N·k], rows u32[N·k], place u32[N, k],
   * starts u32[groups + 1], group u32[N·k]. Sorts the entries by group, stably. `entries` and `rows`: the entry at each
   * place, and the entry's row; `place`: the place of each entry; `starts`: the first place of each group; `group`: the
   * group at each place. An entry with a group number of `groups` or more has no group: such entries come last, from
   * `starts[groups]` on, and are listed with group `groups`. If at most `list` entries have a group, only `list` places
   * are listed. `share`: the expected share of listed entries with a group, for cost estimates; absent: all.
   * `computing`: the number of groups that compute, over all sorts of the same list, if it is larger than `groups`.
   */
  sort_entries: kernel(1, { groups: "number", computing: "numberIfAny", list: "sizeIfAny", share: "sizeIfAny" }),
  /**
   * x[N, …], index u32[M], place u32[N, k] → [M, …]: for each place, row `index` of x; `place` holds the places of each
   * row. For an index of N or more, the value is arbitrary.
   */
  entry_rows: moved(3),
  /**
   * y[M, …], place u32[N, k], index u32[M] (, x[N, …]) (, group u32[M]) → [N, …]: (x plus) Σ over j of y[place[n, j]],
   * in order, up to the first place of M or more. With `groups`, the sum ends at the first place whose group is
   * `groups` or more; with `gaps` too, places of either kind are skipped and the sum continues.
   */
  sum_entries: kernel([3, 5], { groups: "numberIfAny", gaps: "flagIfAny" }),
  /**
   * a[M, K], b[G, K, N], starts u32[G + 1] → [M, N]: the rows of group g, from starts[g] on, times matrix g of b. Rows
   * after the last group are zeros; with `unread`, which states that nothing reads them, they are arbitrary. With
   * `transposed`, b is [G, N, K]. `roundsB`: as of matmul.
   */
  grouped_matmul: kernel(3, { transposed: "flag", unread: "flagIfAny", roundsB: "reducedIfAny" }),
  /**
   * a[M, K], b[M, N], starts u32[G + 1] → [G, K, N]: Σ over the rows m of each group of a[m, ·]ᵀ b[m, ·]. `roundsB`: as
   * of matmul.
   */
  grouped_contract: kernel(3, { roundsB: "reducedIfAny" }),

  // --- attention
  /** x[…, N, d], positions u32[N], rope_table → halves rotated: (x1·cos − x2·sin, x2·cos + x1·sin). */
  rope: kernel(3),
  /**
   * q[H, N, d], k[G, M, d], v[G, M, e], starts of q, starts of k, positions of q u32[N], of k u32[M] → [H, N, e]. G
   * divides H. Within a sequence, causal: query i attends to key j if pos(j) ≤ pos(i); window w > 0: also |pos(i) −
   * pos(j)| < w. Zeros for a query without keys. With key weights f32[M]: Σ w·exp(score)·v / Σ w·exp(score) over the
   * attended keys with weights above 0.
   */
  attention: kernel([7, 8], { causal: "flag", window: "number", scale: "number" }),
  /**
   * The first seven inputs of `attention`, then the operands of `pair` (`ir/pair.ts`) → y[H, N, e], f32[H, N].
   * Attention whose scores are capped, raised by the bias of the pair of tokens, and seen only if the mask is true; and
   * log Σ w·exp(score), or the largest f32 for a query that sees no key.
   */
  pair_attention: kernel("some", { causal: "flag", window: "number", scale: "number", pair: "pair" }),
  /**
   * The inputs of `pair_attention`, then its second result, f32[H, N] the row sums of dy · y less the second result's
   * cotangent, dy[H, N, e] → dq, dk, dv, then the gradients of the operands on which scores or weights depend
   * smoothly: f32[n, H, N] of the n of queries, f32[n, G, M] of keys (sums over the heads of a group), for each table
   * f32[H, R], for each `pair` f32[H, N, S]. Those of queries and of keys are absent if n is 0.
   */
  pair_attention_grad: kernel("some", { causal: "flag", window: "number", scale: "number", pair: "pair" }),
  /**
   * q[H, N, d], k[G, M, d], starts of q, starts of k, positions of q u32[N], of k u32[M] → f32[H, M]: for each key, the
   * sum of its attention shares over the queries that attend to it.
   */
  received: kernel(6, { causal: "flag", window: "number", scale: "number" }),

  // --- paged caches: row i of sequence b is row pages[b, i / page] · page + i % page of a pool
  /**
   * counts u32[B], starts(axis), pages u32[B, P] → u32[N]: the pool row of each row of the axis, after the `counts`
   * rows that its sequence had before this run.
   */
  paged_append: kernel(3, { axis: "text", page: "number" }),
  /**
   * starts(axis), counts u32[B], pages u32[B, P] (, positions u32[R] of the pool's rows) → u32[N, 2]: for row i of each
   * sequence its position (i, or the position of its pool row) and its pool row; from row `counts` on, the largest u32
   * and 0.
   */
  paged_keys: kernel([3, 4], { axis: "text", page: "number" }),
  /**
   * `attention` without weights on paged keys: q[H, N, d], k[G, R, d], v[G, R, e], starts of q, starts of the keys,
   * positions of q u32[N], and for each key its position and its row of k and v, u32[M, 2] (`paged_keys`) → [H, N, e].
   */
  paged_attention: kernel(7, { causal: "flag", window: "number", scale: "number" }),

  // --- losses
  /** logits[…, V], targets[…] (u32 or i32; negative: ignored, 0) → f32[…]: −log softmax at the target. */
  cross_entropy: kernel(2),
  /**
   * (previous sums f32[…, 3],) logits[…, C], targets[…] → f32[…, 3]: running softmax statistics of each row after the
   * classes `first` … first + C − 1: the maximum m, Σ exp(logit − m), and the logit of the target (0 until its class is
   * reached); targets are clamped to the last of all `classes`.
   */
  class_sums: kernel([2, 3], { first: "number", classes: "number" }),

  // --- gradients
  /** a[N, K], b[N, M] → [K, M]: Σ over n of a[n, ·]ᵀ b[n, ·]. */
  contract: rewritten(2, { roundsB: "reducedIfAny" }),
  /**
   * indices u32[…], dy[…, D…] → [rows, D…]: for each table row, the sum of the dy of the lookups that read it;
   * out-of-range indices read the last row.
   */
  gather_grad: kernel(2, { rows: "size" }),
  /**
   * logits[…, V], targets[…] (u32 or i32), dloss f32[…] → […, V]: (softmax − 1 at the target) · dloss; zeros for a
   * negative target.
   */
  cross_entropy_grad: kernel(3),
  /**
   * logits[…, C], sums f32[…, 3], targets[…] (u32 or i32), dloss f32[…] → […, C]: `cross_entropy_grad` restricted to
   * the classes `first` … first + C − 1 of all `classes`; `sums`: `class_sums` over all classes.
   */
  class_grad: kernel(4, { first: "number", classes: "number" }),
  /**
   * The result of `attention`, and f32[H, N] for its gradient: log Σ exp(scaled score) over the keys that a query
   * attends to; with weights, log Σ w·exp. For a query without keys 0; with weights, the largest f32.
   */
  attention_kept: kernel([7, 8], { causal: "flag", window: "number", scale: "number" }),
  /**
   * q, k, v, starts of q, starts of k, positions of q, of k, the f32[H, N] of `attention_kept`, f32[H, N] the row sums
   * of dy · y, dy[H, N, e] → dq, dk, dv. With key weights f32[M] also the weights' gradient for each key head, f32[G,
   * M]: at a weight of 0 the one-sided derivative from above, below 0 it is 0.
   */
  attention_grad: kernel([10, 11], { causal: "flag", window: "number", scale: "number" }),

  // --- optimisers
  /**
   * w, m, v, g (one shape, f32), f32[5] = learning rate, weight decay, 1 − beta1^t, 1 − beta2^t, factor on g → w, m, v
   * after a step of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
   */
  adamw: kernel(5, { beta1: "number", beta2: "number", eps: "number" }),
  /**
   * w, m, g (one shape, f32), f32[3] = learning rate, weight decay, factor on g → w, m after a step of gradient descent
   * with momentum.
   */
  sgd: kernel(4, { momentum: "number", nesterov: "flag" }),

  // --- sampling
  /**
   * logits f32[S, V], settings f32[S, 7] (`size/sampling.ts`), seeds u32[S, 2], positions u32[S], bias f32[S, V], seen
   * u32[S, ceil(V / 32)] (`mark`) → the next token u32[S], and f32[S] its log-probability under the unadjusted logits
   * (0 if not requested). Draws depend on seed and position alone. If the largest adjusted logit is NaN or infinite,
   * the first such token is taken; if the largest unadjusted logit is, the log-probability is NaN.
   */
  sample: kernel(6),
  /**
   * token sets u32[S, words] (one per sequence), tokens u32[N], starts, or tokens u32[S] alone → the sets with the
   * tokens of each sequence added; tokens beyond the last word are ignored.
   */
  mark: kernel([2, 3]),

  // --- random; keyed by seed, stream, position and channel, never by row or batch
  /**
   * seed, positions u32[N] (absent without a packed dimension) → f32 of `shape`; `dim` is the packed dimension, or
   * null.
   */
  random_uniform: kernel([1, 2], { shape: "sizes", dim: "numberOrNull", stream: "number" }),
  random_normal: kernel([1, 2], { shape: "sizes", dim: "numberOrNull", stream: "number" }),
} satisfies Readonly<Record<string, OpSchema>>;

type Vocabulary = typeof vocabulary;
type AttrsByOp = { readonly [K in keyof Vocabulary]: AttrsOf<Vocabulary[K]["attrs"]> };

/** The type of the attributes of each operator. */
export interface OpAttrs extends AttrsByOp {}

export type OpName = keyof Vocabulary;

export type ArityOf<K extends OpName> = Vocabulary[K]["inputs"];
export type KindOf<K extends OpName> = Vocabulary[K]["kind"];
type OfKind<P extends OpKind> = { [K in OpName]: KindOf<K> extends P ? K : never }[OpName];

export type PointwiseOp = OfKind<"pointwise">;
/** Pointwise operators without attributes. */
export type PlainPointwiseOp = { [K in PointwiseOp]: keyof OpAttrs[K] extends never ? K : never }[PointwiseOp];
/** Sources, whose memory the caller or the runtime fills. */
export type SourceOp = OfKind<"source">;
/** Operators with their own kernels. */
export type KernelOp = OfKind<"kernel">;

export const schemas: Readonly<Record<OpName, OpSchema>> = vocabulary;
