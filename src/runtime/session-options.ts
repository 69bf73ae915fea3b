// What is given to a session and what it tells: options of loading and of runs, and events.
import type { LiveValue } from "./extents.js";
import type { OutputSelection } from "./outputs.js";
import type { RunPromise } from "../program/program.js";

/** What a session reports while it loads, and when its buffers grow. */
export type SessionEvent =
  /** Kernels that were compiled, of those that loading or a run waits for; weights that were read. */
  | { readonly kind: "kernels" | "weights"; readonly done: number; readonly total: number }
  | {
      readonly kind: "grow";
      /** Buffers made anew. */
      readonly buffers: number;
      /** Bytes of all buffers now. */
      readonly bytes: number;
      /** Why, and how to make room at once, in a sentence. */
      readonly message: string;
    };

/** Options of loading, but for the sessions whose memory a new one shares. */
export interface LoadSettings {
  /**
   * Extents of axes that the buffers are made for: `{ B: 4, T: 512 }`. By default an axis's bound, and 1 where it has
   * none; a larger run grows the buffers.
   */
  readonly max?: Readonly<Record<string, number>>;
  /** Live parameters, for the buffers and for runs that give none. */
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** For weights where none are given, and for random values of runs that give no seed: a u32. Default 0. */
  readonly seed?: number;
  /**
   * How many runs may be under way on the device at once, each with a buffer that its results are read back through.
   * Default 1.
   */
  readonly inFlight?: number;
  /**
   * When kernels are compiled. load: those that a run at `max` needs when loading, others when a run first needs them.
   * run: all when a run first needs them, for a caller that knows what it will run better than `max` says. A software
   * device compiles a kernel when it is first dispatched, whichever it is. Default load.
   */
  readonly compile?: "load" | "run";
  /**
   * Where `compile` is run: extents that the first run is likely to have. A software device compiles what that needs
   * until there is one, as far as it comes.
   */
  readonly likely?: Readonly<Record<string, number>>;
  /** Ends loading between two steps of it. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
}

export interface RunOptions extends OutputSelection {
  /** Extents of axes that no input tells: `{ B: 4 }`. */
  readonly extents?: Readonly<Record<string, number>>;
  /** Tokens of each sequence, u32[B], 0 to T; without it every sequence has T. */
  readonly lengths?: readonly number[] | Uint32Array | Int32Array;
  readonly live?: Readonly<Record<string, LiveValue>>;
  readonly seed?: number;
  /**
   * What the caller knows of the states, by which a simpler kernel may do. Nothing checks that it holds: where it does
   * not, the run gives wrong results, such as the likeliest token where one was to be drawn, and says nothing of it.
   */
  readonly promises?: readonly RunPromise[];
  /** Drops a run that has not started on the device. */
  readonly signal?: AbortSignal;
}
