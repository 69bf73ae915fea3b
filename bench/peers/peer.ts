// A peer: something that builds a block and runs it.
import type { CaseData } from "../protocol.js";

export interface Peer {
  /** Opens the device, so that no block pays for it, and returns the device's name. */
  open(): Promise<string>;
  build(data: CaseData, repeat: number): Promise<Built>;
}

export interface Built {
  /**
   * The first run: one application of the block if a loop repeats it, else all repetitions. After it, every kernel is
   * compiled. Returns the run's result.
   */
  first(): Promise<Float32Array>;
  /** Applies the block `repeat` times, each to the result before, and waits once: the last result. */
  run(): Promise<Float32Array>;
  dispose(): Promise<void>;
}
