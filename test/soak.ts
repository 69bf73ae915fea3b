// How long random trials go on: `npm run soak` runs the same tests as `npm test`, many times as many cases, from other
// seeds, and what the short run leaves out.
import type { TestDevice } from "./device.js";

/** How many times the soak tries what it tries. */
const SOAK = Math.max(1, Number(process.env["SOAK"] ?? "1"));

/** Whether this is a soak: what the short run leaves out is run too. */
export const soaking = process.env["SOAK"] !== undefined;

/** Of a list every `nth` in the short run, from the one at `turn`; in a soak all. */
export const byTurns = <T>(list: readonly T[], nth: number, turn = 0): readonly T[] =>
  soaking ? list : list.filter((_, i) => i % nth === turn % nth);

/**
 * Of a list that the default device goes through: all on it and in a soak; on SwiftShader, which compiles slowly, every
 * `nth` in the short run, from the one at `first`.
 */
export const thinned = <T>(which: TestDevice, list: readonly T[], nth: number, first = 0): readonly T[] =>
  which === "default" ? list : byTurns(list, nth, first);

/** Cases of a trial: the given number, times the length of the soak; three tenths of them in the short run. */
export const cases = (once: number): number => Math.round(once * (soaking ? SOAK : 0.3));

/**
 * The seed of a trial: a fixed seed in the short run, so that a failure repeats; another for each soak (`SOAK_SEED`).
 */
export const seedOf = (own: number): number => own + Number(process.env["SOAK_SEED"] ?? "0");

/** Milliseconds that a trial may take. */
export const patience = (short: number): number => short * SOAK;
