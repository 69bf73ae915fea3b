// The interface of a family of tunings: defaults of a device, candidates, and reading from a file.
import type { Reader } from "../../../runtime/program/reader.js";
import type { Target } from "../../../runtime/program/target.js";

/**
 * Tunings are plain JSON: no infinities, no functions, no undefined fields. They choose kernels and tiles, never
 * results: every tuning a target can have gives the same values within the tolerance of the operator, and the same bits
 * where the kernels promise it.
 */
export interface Family<T> {
  /**
   * Defaults for a device without measurements: the class's defaults, or portable ones if the device's subgroups have
   * other widths.
   */
  readonly defaults: (target: Target) => T;
  /** All candidates on a target, each as tunings that use it for everything. In a fixed order, the simplest first. */
  readonly candidates: (target: Target) => readonly Candidate<T>[];
  /** Reads tunings as untrusted input; fails through the reader. */
  readonly read: (r: Reader) => T;
  /** A fault of tunings that a target cannot run, as a clause; null if it can run them. */
  readonly incompatibility: (tunings: T, target: Target) => string | null;
}

export interface Candidate<T> {
  /** A short name, for tables and tests: `subgroup 16 × 2`. */
  readonly name: string;
  readonly tunings: T;
}
