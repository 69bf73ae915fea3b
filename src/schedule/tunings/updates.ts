// Tunings of an optimiser's step: how many invocations make a workgroup.
import type { Reader } from "../../program/reader.js";
import type { DeviceClass, Target } from "../../program/target.js";
import type { Family } from "./family.js";

export interface UpdateTunings {
  /** Invocations of a workgroup. No bit of a result depends on them. */
  readonly lanes: number;
}

const LANES = [8, 16, 32, 64, 128, 256] as const;

/**
 * Measured on Mesa 25.0.7, two Zen 4 cores with other work on them, 1.8 million weights in 22 tensors, AdamW: 9.2 ms by
 * 8 lanes, 14.2 by 64, and no less by vectors of four: 50 MB go through memory. GPUs were not measured.
 */
const BY_CLASS: { readonly [C in DeviceClass]: UpdateTunings } = {
  portable: { lanes: 64 },
  "mesa-software": { lanes: 8 },
  swiftshader: { lanes: 8 },
  integrated: { lanes: 64 },
  discrete: { lanes: 64 },
};

export const updates: Family<UpdateTunings> = {
  defaults: (target) => BY_CLASS[target.device],
  candidates: (target: Target) =>
    LANES.filter((lanes) => lanes <= target.limits.invocationsPerWorkgroup).map((lanes) => ({ name: `${lanes} lanes`, tunings: { lanes } })),
  read(r: Reader) {
    r.fields(["lanes"]);
    const lanes = r.get("lanes").number();
    return LANES.some((n) => n === lanes) ? { lanes } : r.get("lanes").fail(`must be one of ${LANES.join(", ")}, found ${lanes}`);
  },
  misfit: ({ lanes }, target) => (lanes <= target.limits.invocationsPerWorkgroup ? null : `optimisers need workgroups of ${lanes}`),
};
