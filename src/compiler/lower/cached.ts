// What a graph with caches has beside its nodes: the axes and the states of its caches.
import type { Graph, Node } from "../ir/graph.js";
import type { SequenceValues } from "./sequence-values.js";

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
  /** [rows(capacity)] or [rows(capacity), heads]: key weights, and operands of pairs on keys. */
  readonly operands: readonly string[];
}

export interface Cached {
  readonly graph: Graph;
  /** The first axis is the axis of the input. */
  readonly axes: readonly CachedAxis[];
  readonly layers: readonly CachedLayer[];
  /** Names of the states of recurrences, which have a row of fixed size for each sequence. */
  readonly recurrent: readonly string[];
  /** For each of `axes`, u32[B]: the rows of each sequence after the run. */
  readonly counts: readonly Node[];
  /**
   * For each of `axes`, u32[rows(axis)]: the positions of the run's rows in their sequence. Null for the axis of all
   * tokens, and if no `take` determines the positions.
   */
  readonly positions: readonly (Node | null)[];
  readonly values: SequenceValues;
}
