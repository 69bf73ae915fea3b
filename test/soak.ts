// How long random trials go on: `npm run soak` runs the same tests as `npm test`, many times as many cases, from other seeds.

/** 1 in the short run. */
const SOAK = Math.max(1, Number(process.env["SOAK"] ?? "1"));

/** Cases of a trial that has `short` in the short run. */
export const cases = (short: number): number => Math.round(short * SOAK);

/** The seed of a trial: its own in the short run, so that a failure repeats; another for each soak (`SOAK_SEED`). */
export const seedOf = (own: number): number => own + Number(process.env["SOAK_SEED"] ?? "0");

/** Milliseconds that a trial may take. */
export const patience = (short: number): number => short * SOAK;
