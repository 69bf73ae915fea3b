// The kinds of epilogues, in the order of trial. The last kind here is dropped first, and of each kind the op that
// joined last.
import { cacheWrite } from "./cache-write.js";
import type { EpilogueKind } from "./fusion.js";
import { pointwise } from "./pointwise.js";
import { rotary } from "./rotary.js";
import { rowSum } from "./row-sums.js";
import { scatter } from "./scatter.js";

export const EPILOGUES: readonly EpilogueKind[] = [rotary, pointwise, cacheWrite, rowSum, scatter];
