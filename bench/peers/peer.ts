// A peer: something that builds a block and runs it.
import type { CaseData } from "../protocol.js";

export interface Peer {
  /** Opens the device, so that no block pays for it; what device it is. */
  open(): Promise<string>;
  build(data: CaseData, repeat: number): Promise<Built>;
}

export interface Built {
  /**
   * The first run: of the block once where a loop repeats it, else of all repetitions. Whatever compiles has compiled
   * then. The result of what ran.
   */
  first(): Promise<Float32Array>;
  /** Applies the block `repeat` times, each to the result before, and waits once: the last result. */
  run(): Promise<Float32Array>;
  dispose(): Promise<void>;
}
