// The operators in which a step is written for every peer but modc. V is the peer's tensor.
import type { Ops } from "../peers/ops.js";

/** All operators but `choose` are differentiable; the rows of all sequences are concatenated, [B·T, …]. */
export interface TrainOps<V> extends Pick<
  Ops<V>,
  "matmul" | "add" | "mul" | "scale" | "normalise" | "softmax" | "gelu" | "silu" | "reshape" | "transpose" | "turned"
> {
  /** a · bᵀ. */
  matmulTransposed(a: V, b: V): V;
  /** Rows of a table by tokens, [B·T, …]: many may be the same. */
  lookUp(table: V, tokens: V): V;
  /** Of scores [B, T], the k largest of each sequence. */
  choose(score: V, k: number): Choice<V>;
  /** Rows of x at a choice, [B·k, …]. */
  take(x: V, choice: Choice<V>): V;
  /** x with `update` added to the rows of a choice. */
  put(x: V, choice: Choice<V>, update: V): V;
  /** x, through which no gradient goes. */
  detached(x: V): V;
  /** Mean over all rows of the cross-entropy of logits [B·T, vocab] and targets [B·T]. */
  crossEntropy(logits: V, targets: V): V;
  /** Mean over all of softplus(z) − z where chosen: what a predictor z: [B, T] says of a choice. */
  predictorLoss(z: V, choice: Choice<V>): V;
}

/** No gradient goes to any of it. */
export interface Choice<V> {
  /** Places among all rows of the batch, [B·k]; those of a sequence in any order. */
  readonly rows: V;
  /** f32[B, 1, k, k]: 0 where the row's token stands at or after the column's, else a large negative number. */
  readonly mask: V;
  /** Cosines and sines of the tokens' positions, [B, 1, k, width]. */
  readonly cos: V;
  readonly sin: V;
  /** f32[B, T]: 1 where chosen. */
  readonly chosen: V;
}
