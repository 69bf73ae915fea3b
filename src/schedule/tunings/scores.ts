// Tunings of scores: where the sum that scores a row for `top` is made.
import { object, whole } from "../../program/reader.js";
import type { Family } from "./family.js";

/**
 * A score may ride in the product that writes the stream it scores: its kernel sums over a panel of columns at a time,
 * and the choice adds the panels up each time it looks at a row. It does where a sequence has at most so many tokens
 * and a row so many panels; else the sum is a kernel of its own. None: `tokens` is 0.
 */
export interface ScoreTunings {
  readonly tokens: number;
  readonly panels: number;
}

const MOST = { tokens: 1_048_576, panels: 1024 } as const;

/**
 * By arithmetic, not measured: the choice goes through a sequence's rows about six times with one subgroup or
 * workgroup, so 4096 rows of 16 panels are 0.4 million loads on one core of two, as many as summing those rows of 512
 * columns anew takes on both.
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
