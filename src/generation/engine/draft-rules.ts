// Decides whose tokens are guessed next, and how many. Pure, as the scheduler.
import type { DraftRules, Scheduled } from "./sequences/scheduler.js";

/** The most tokens that are guessed before they are verified. */
const MOST_GUESSES = 4;

export const DRAFTS: DraftRules = {
  plan(active, tried) {
    const drafting = active.filter((s) => s.phase === "stepping" && !s.over && s.inFlight === 0 && guesses(s));
    for (const kind of new Set(drafting.map((s) => s.kind))) {
      const name = `draft ${kind}`;
      if (tried.has(name)) continue;
      const sequences = drafting.filter((s) => s.kind === kind);
      // One more token is chosen after the guesses.
      const tokens = 1 + sequences.reduce((least, s) => Math.min(least, s.wanted - 1), MOST_GUESSES);
      return { action: "draft", tried: name, runs: [sequences.map((sequence) => ({ sequence, tokens }))] };
    }
    return null;
  },
  guesses,
};

function guesses(s: Scheduled): boolean {
  return s.mayGuess && s.wanted > 1;
}
