// The operators in which the blocks are written for every peer but modc. V is the peer's tensor.

export interface Ops<V> {
  constant(data: Float32Array | Int32Array, shape: readonly number[]): V;
  matmul(a: V, b: V): V;
  add(a: V, b: V): V;
  mul(a: V, b: V): V;
  scale(a: V, factor: number): V;
  /** x / √(mean(x²) + 1e-5) along the last axis. */
  normalise(x: V): V;
  /** Along the last axis. */
  softmax(x: V): V;
  /** Exact. */
  gelu(x: V): V;
  silu(x: V): V;
  reshape(x: V, shape: readonly number[]): V;
  transpose(x: V, order: readonly number[]): V;
  /**
   * The two halves of the last axis, of `width` together, swapped, and the one that comes first negated: (−second,
   * first).
   */
  turned(x: V, width: number): V;
  /** Places of the k largest of a vector. */
  top(score: V, k: number): V;
  /** 1 for each of the k largest elements of a row, else 0. */
  amongTop(scores: V, k: number): V;
  /** Rows of x: x[index]. */
  rows(x: V, index: V): V;
  /** x with `update` added to the rows at `index`, which are `before`. */
  putRows(x: V, index: V, before: V, update: V): V;
  /** f32[k, k]: 0 where index[i] ≥ index[j], else a large negative number. */
  causalMask(index: V, k: number): V;
  /** Place of the largest along the last axis. */
  argmax(x: V): V;
  /**
   * A part of the model that a peer may compile for itself: `f` of `args` and nothing else. Parts with the same name
   * are equal.
   */
  part(name: string, f: (args: readonly V[]) => V, args: readonly V[]): V;
  /** No longer needed. */
  release(x: V): void;
}
