// What computes: the tape of a step, whose kernels, and in which type products are.
import type { Tape } from "./tape.js";
import type { Tensor } from "./tensor.js";

/**
 * Whose kernels compute. `cuda` has fused attention for most cases; `cpu` is what tensors without data are counted by.
 */
export type Kernels = "cuda" | "cpu";

export interface Torch {
  readonly tape: Tape;
  readonly kernels: Kernels;
  /** Parameters as `torch.autocast` has converted them, until its end; null: nothing is converted. */
  readonly cast: Map<Tensor["storage"], Tensor> | null;
}
