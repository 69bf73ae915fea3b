// The environment of a simulated step: the tape, the kernels, and the autocast cache.
import type { Tape } from "./tape.js";
import type { Tensor } from "./tensor.js";

/**
 * The device whose kernels are simulated. `cuda` has fused attention for most cases. `cpu` has the kernels with which
 * PyTorch counts tensors without data (fake tensors).
 */
export type Kernels = "cuda" | "cpu";

export interface Torch {
  readonly tape: Tape;
  readonly kernels: Kernels;
  /** Parameters that `torch.autocast` has converted, until autocast ends; null: no conversion. */
  readonly cast: Map<Tensor["storage"], Tensor> | null;
}
