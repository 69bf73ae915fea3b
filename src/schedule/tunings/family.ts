// What a family of kernels says of its tunings: which a device starts with, which it may have, and how they are read
// from a file.
import type { Reader } from "../../program/reader.js";
import type { Target } from "../../program/target.js";

/**
 * Tunings are plain JSON: no infinities, no functions, no undefined fields. They choose kernels and tiles, never
 * results: every tuning a target can have gives the same values within the tolerance of the operator, and the same bits
 * where the kernels promise it.
 */
export interface Family<T> {
  /**
   * For a device on which nobody has measured: those of its class, or those that run anywhere where its subgroups are
   * not as its class has them.
   */
  readonly defaults: (target: Target) => T;
  /**
   * All that may be chosen on a target, each as the tunings that take it for everything. In a fixed order, the plainest
   * first.
   */
  readonly candidates: (target: Target) => readonly Candidate<T>[];
  /** Reads tunings as untrusted input; fails through the reader. */
  readonly read: (r: Reader) => T;
  /** What of them a target cannot run, as a clause; null where it can run all. */
  readonly incompatibility: (tunings: T, target: Target) => string | null;
}

export interface Candidate<T> {
  /** Short, for tables and names of tests: `subgroup 16 × 2`. */
  readonly name: string;
  readonly tunings: T;
}
