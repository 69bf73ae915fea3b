// Tunings of routing scores: which kernel computes the sum that scores a row.
import { object, whole } from "../../../runtime/program/reader.js";
import type { Family } from "./family.js";

/**
 * A score can be fused into the product that writes the scored stream: its kernel stores a partial sum for each panel
 * of columns, and the selection adds them up each time it reads a row. It is fused if a sequence has at most `tokens`
 * tokens and a row at most `panels` panels; else the sum has its own kernel. `tokens` 0: never.
 */
export interface ScoreTunings {
  readonly tokens: number;
  readonly panels: number;
}

const MOST = { tokens: 1_048_576, panels: 1024 } as const;

/**
 * Estimated, not measured: the selection reads a sequence's rows about six times with one subgroup or workgroup, so
 * 4096 rows of 16 panels are 0.4 million loads on one core of two, as costly as summing those rows of 512 columns again
 * on both.
 */
const DEFAULTS: ScoreTunings = { tokens: 4096, panels: 16 };

export const scores: Family<ScoreTunings> = {
  defaults: () => DEFAULTS,
  candidates: () => [
    { name: "alone", tunings: { tokens: 0, panels: 0 } },
    { name: "in the product", tunings: MOST },
  ],
  read: object({ tokens: whole(0, MOST.tokens), panels: whole(0, MOST.panels) }),
  incompatibility: () => null,
};
