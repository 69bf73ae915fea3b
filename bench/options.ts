// The command line of the bench.
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface Options {
  /** Only blocks and models whose name begins so; null: all. */
  readonly only: string | null;
  readonly rounds: number;
  /** The rounds for blocks of 2048 tokens, which take longer. */
  readonly longRounds: number;
  /** Few runs, no T = 2048: to see that everything works. */
  readonly quick: boolean;
  /** Whether results.json keeps what is measured, in place of the older parts of the same names. */
  readonly keep: boolean;
  /** A checkout of another commit, built, whose first token is measured beside; null: none. */
  readonly before: string | null;
}

export const usage = `npm run bench -- [--only block [--keep]] [--rounds n] [--quick] [--before folder]
  --only block  only what has a name that begins with this (dense, mod-512, product, moby, first,
                train, generate, …); writes no files
  --keep        with --only: renews these parts in results.json and results.md, which keep the others
  --rounds n    rounds, each of which asks every peer once (default 5, and 3 for T = 2048)
  --quick       fewer runs and rounds and no T = 2048: to see that everything works; writes no files
  --before folder  a checkout of another commit, built, whose first token is measured beside this one's`;

export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      quick: { type: "boolean" },
      keep: { type: "boolean" },
      before: { type: "string" },
    },
  });
  const quick = values.quick ?? false;
  const only = values.only ?? null;
  if (values.keep && (only === null || quick)) throw new Error("--keep goes with --only, without --quick");
  const keep = !quick && (only === null || (values.keep ?? false));
  const before = values.before === undefined ? null : resolve(process.env["INIT_CWD"] ?? ".", values.before);
  if (values.rounds === undefined) return { only, rounds: quick ? 3 : 5, longRounds: 3, quick, keep, before };
  const rounds = Number(values.rounds);
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: it must be a whole number of at least 1`);
  return { only, rounds, longRounds: rounds, quick, keep, before };
}
