// Options of loading and of runs, and the events a session reports.
import type { Lengths } from "../../ground/size/lengths.js";
import type { LiveValue } from "./extents.js";
import type { OutputSelection } from "./outputs.js";
import type { RunPromise } from "../program/program.js";

/** Events that a session reports while it loads, and when its buffers grow. */
export type SessionEvent =
  /**
   * Progress: kernels compiled, of those that loading or a run waits for; or weights read, of those that no other
   * session has on the device.
   */
  | { readonly kind: "kernels" | "weights"; readonly done: number; readonly total: number }
  | {
      readonly kind: "grow";
      /** Number of new buffers. */
      readonly buffers: number;
      /** Bytes of all buffers after growing. */
      readonly bytes: number;
      /** The reason, and how to allocate enough at loading, in a sentence. */
      readonly message: string;
    };

/** Options of loading, except those for sharing other sessions' memory. */
export interface LoadSettings {
  /**
   * Extents of axes for which buffers are created: `{ B: 4, T: 512 }`. Default: an axis's bound, or 1 if unbounded. A
   * larger run grows the buffers.
   */
  readonly max?: Readonly<Record<string, number>>;
  /** Live parameters, for sizing the buffers and as the default for runs. */
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** Seed of initial weights if no weights are passed, and default seed of runs: a u32. Default 0. */
  readonly seed?: number;
  /** The number of runs that may be on the device at once, each with its own staging buffer. Default 1. */
  readonly inFlight?: number;
  /**
   * When kernels are compiled. load: while loading, for a run at `max`; other kernels when a run first needs them. run:
   * all kernels when a run first needs them, for callers whose runs differ from `max`. With either, a software device
   * compiles a kernel at its first dispatch. Default load.
   */
  readonly compile?: "load" | "run";
  /**
   * With `compile: "run"`: the likely extents of the first run. A software device compiles the kernels for them in the
   * background until a run begins.
   */
  readonly likely?: Readonly<Record<string, number>>;
  /** Aborts loading. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
}

export interface RunOptions extends OutputSelection {
  /** Extents of axes that no input's shape determines: `{ B: 4 }`. */
  readonly extents?: Readonly<Record<string, number>>;
  /**
   * Tokens of each sequence, u32[B], 0 to T, or lists by the names of axes: `{ S: [4, 2], T: [3, 5] }`. Default: every
   * sequence has all tokens. A list alone is of the only sequence axis of the inputs.
   */
  readonly lengths?: Lengths;
  readonly live?: Readonly<Record<string, LiveValue>>;
  readonly seed?: number;
  /**
   * Facts about the states that allow simpler kernels. They are not checked: if one is false, the run silently gives
   * wrong results, such as the likeliest token in place of a sampled token.
   */
  readonly promises?: readonly RunPromise[];
  /** Aborts a run that has not started on the device. */
  readonly signal?: AbortSignal;
}
