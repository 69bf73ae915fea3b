// What caches keep: the axes of their rows, and the states of each attention.

/** A sequence axis of one run's tokens, and the states that hold the tokens of earlier runs on it. */
export interface CachedAxis {
  readonly axis: string;
  /** The axis of the caches, with `capacity` rows for each sequence; null if no attention has keys on this axis. */
  readonly capacity: string | null;
  /** Name of the state u32[B] with the number of rows of each sequence. */
  readonly counts: string;
  /**
   * Name of the state u32[rows(capacity)] with the position of each row in the model's input; null if the position is
   * the row's index in its sequence.
   */
  readonly positions: string | null;
  /** The call path of the route that defines the axis; "" for the axis of the input. */
  readonly path: string;
}

/** The states of an attention's cache: `keys` and `values` are [rows(capacity), heads, width]. */
export interface CachedLayer {
  readonly path: string;
  readonly axis: string;
  readonly keys: string;
  readonly values: string;
  /** f32[rows(capacity)]; null if all keys weigh the same. */
  readonly weights: string | null;
}
