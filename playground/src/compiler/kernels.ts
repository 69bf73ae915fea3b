// The kernels of a program, as WGSL.
import type { Source } from "../source.js";
import { compiledOf } from "./memo.js";

export interface Kernel {
  readonly name: string;
  readonly wgsl: string;
  /** The number of the program's steps that run the kernel. */
  readonly dispatches: number;
}

/** The kernels for any device, in the order of first use; null if the source has errors. */
export function kernelsOf(source: Source): readonly Kernel[] | null {
  const program = compiledOf(source).program();
  if (!program) return null;
  const uses = new Map<number, number>();
  for (const step of program.steps)
    if (step.kind === "dispatch") uses.set(step.kernel, (uses.get(step.kernel) ?? 0) + 1);
  return program.kernels.map(({ name, wgsl }, i) => ({ name, wgsl, dispatches: uses.get(i) ?? 0 }));
}
