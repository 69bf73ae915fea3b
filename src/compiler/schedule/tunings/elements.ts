// Tunings of elementwise kernels, such as pointwise expressions and optimizer steps: how elements are distributed over
// invocations.
import { among, object } from "../../../runtime/program/reader.js";
import type { DeviceClass, Target } from "../../../runtime/program/target.js";
import type { Family } from "./family.js";

export interface ElementTunings {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Elements of an invocation. */
  readonly each: number;
}

const LANES = [8, 16, 32, 64, 128, 256] as const;
const EACH = [1, 2, 4, 8, 16, 32] as const;

/**
 * Measured on Mesa 25.0.7, two Zen 4 cores with other work on them, in a training step of a decoder of width 256 over
 * 512 rows, by 8 lanes of 16 elements against 64 of one: products of two values 3.4 ms against 15.2, sums 1.8 against
 * 9.1, gelu 1.3 against 6.0, AdamW of 1.8 million weights 4.6 against 15.8. By 8 lanes of 64 they take the same. GPUs
 * were not measured.
 */
const BY_CLASS: { readonly [C in DeviceClass]: ElementTunings } = {
  portable: { lanes: 64, each: 1 },
  "mesa-software": { lanes: 8, each: 16 },
  swiftshader: { lanes: 8, each: 16 },
  integrated: { lanes: 64, each: 1 },
  discrete: { lanes: 64, each: 1 },
};

export const elements: Family<ElementTunings> = {
  defaults: (target) => BY_CLASS[target.device],
  candidates: (target: Target) =>
    LANES.filter((lanes) => lanes <= target.limits.invocationsPerWorkgroup).flatMap((lanes) =>
      [1, 8, 32].map((each) => ({ name: `${lanes} lanes × ${each}`, tunings: { lanes, each } })),
    ),
  read: object({ lanes: among(LANES), each: among(EACH) }),
  incompatibility: ({ lanes }, target) =>
    lanes <= target.limits.invocationsPerWorkgroup ? null : `kernels of elements need workgroups of ${lanes}`,
};
