// Decides what runs next: how many tokens of which sequences a run computes. A chunk of prompts, a step and a verified
// draft are cases of it. Pure: sequences in, a plan out.

/** What the scheduler looks at in a sequence. */
export interface Scheduled {
  /** When it came, in milliseconds. */
  readonly began: number;
  /** Only sequences of one kind share runs. */
  readonly kind: string;
  readonly phase: "waiting" | "reading" | "stepping";
  /** Whether it has ended. */
  readonly over: boolean;
  /** The number of its tokens so far, and how many of them the last steps have added. */
  readonly length: number;
  readonly generated: number;
  /** While reading: tokens in the cache or in a run. */
  readonly submitted: number;
  /** Tokens that runs in flight read, and runs in flight that choose one. */
  readonly inFlight: number;
  readonly choosing: number;
  /** Tokens to generate that no run in flight chooses. */
  readonly wanted: number;
  /** Whether a step needs to know the token before it. */
  readonly waitsForTokens: boolean;
  /** Whether its tokens may be guessed. */
  readonly mayGuess: boolean;
}

/** Tokens of a sequence that a run reads. */
export interface Wish<S = Scheduled> {
  readonly sequence: S;
  readonly tokens: number;
}

/** What runs next: runs of one kind of sequences each, for which the caches need room at once. */
export interface Plan<S = Scheduled> {
  readonly action: Action;
  readonly runs: readonly (readonly Wish<S>[])[];
}

/** draft: tokens are guessed, and then verified by a run that reads them after the last token. */
export type Action = "draft" | "step" | "prompt";

export interface Rules {
  /**
   * Whether all sequences are in every run: then none steps while another is read, and each reads a chunk of its own.
   * Otherwise the sequences of a run share the tokens of a chunk.
   */
  readonly together: boolean;
  /** Whether tokens are guessed where they may be. */
  readonly drafts: boolean;
  /** Whether a prompt is read in one run, and each token after it alone: caches of the last loop need it. */
  readonly whole: boolean;
  /** The most steps in flight. `hurry`: prompts wait to be read. */
  ahead(hurry: boolean): number;
  /** The most tokens of a run that reads prompts. `others`: sequences step, which wait for it. */
  chunk(others: boolean): number;
}

/** Runs in flight, and what was tried in vain since the last answer. */
export interface Flight {
  readonly steps: number;
  readonly prompts: number;
  readonly tried: ReadonlySet<string>;
}

/** The most tokens that are guessed before they are verified. */
export const MOST_GUESSES = 4;

/**
 * The next plan for sequences that have their place on the device; null if there is nothing to submit before an answer.
 * Drafts come first, then steps until enough are in flight, then a chunk of prompts. `waiting`: sequences without a
 * place.
 */
export function nextPlan<S extends Scheduled>(
  active: readonly S[],
  waiting: number,
  { steps, prompts, tried }: Flight,
  rules: Rules,
): Plan<S> | null {
  const reading = readingOf(active);
  if (rules.drafts)
    for (const kind of kindsOf(active)) {
      const drafting = draftingOf(active).filter((s) => s.kind === kind);
      if (drafting.length === 0 || tried.has(draftOf(kind))) continue;
      const tokens = guessesFor(drafting) + 1;
      return { action: "draft", runs: [drafting.map((sequence) => ({ sequence, tokens }))] };
    }
  if (!tried.has("step") && steps < rules.ahead(reading.length + waiting > 0)) {
    const stepping = rules.together && reading.length > 0 ? [] : steppingOf(active, rules.drafts);
    if (stepping.length > 0)
      return {
        action: "step",
        runs: kindsOf(stepping).map((kind) =>
          stepping.filter((s) => s.kind === kind).map((sequence) => ({ sequence, tokens: 1 })),
        ),
      };
  }
  if (prompts > 0 || reading.length === 0 || tried.has("prompt")) return null;
  const others = active.some((s) => s.phase === "stepping" && !s.over);
  return { action: "prompt", runs: [chunkOf(reading, rules.chunk(others), rules)] };
}

/** What `Flight.tried` has of a plan. */
export const triedBy = ({ action, runs }: Plan): string =>
  action === "draft" ? draftOf(runs[0]![0]!.sequence.kind) : action;
const draftOf = (kind: string): string => `draft ${kind}`;

/** Sequences whose tokens are read, those that came first at the front. */
const readingOf = <S extends Scheduled>(active: readonly S[]): readonly S[] =>
  active.filter((s) => s.phase === "reading" && !s.over).toSorted((a, b) => a.began - b.began);

/** Sequences that may have a step. `drafts`: those whose tokens are guessed have none. */
const steppingOf = <S extends Scheduled>(active: readonly S[], drafts: boolean): readonly S[] =>
  active.filter((s) => maySteps(s) && s.wanted > 0 && !(s.waitsForTokens && s.choosing > 0) && !(drafts && guesses(s)));

/** Sequences whose next tokens may be guessed now. */
const draftingOf = <S extends Scheduled>(active: readonly S[]): readonly S[] =>
  active.filter((s) => maySteps(s) && s.inFlight === 0 && guesses(s));

const maySteps = (s: Scheduled): boolean => s.phase === "stepping" && !s.over;
const guesses = (s: Scheduled): boolean => s.mayGuess && s.wanted > 1;

/** How many tokens of each sequence are guessed: one more is chosen after them. */
const guessesFor = (sequences: readonly Scheduled[]): number =>
  sequences.reduce((least, s) => Math.min(least, s.wanted - 1), MOST_GUESSES);

/** The next tokens of sequences of one kind, in their order. */
function chunkOf<S extends Scheduled>(
  reading: readonly S[],
  most: number,
  rules: Pick<Rules, "together" | "whole">,
): readonly Wish<S>[] {
  const wishes: Wish<S>[] = [];
  let left = most;
  for (const sequence of reading) {
    if (left === 0 || sequence.kind !== reading[0]!.kind) break;
    const tokens = nextOf(sequence, left, rules);
    wishes.push({ sequence, tokens });
    if (!rules.together) left -= tokens;
  }
  return wishes;
}

/** The tokens that the next run reads of a sequence. */
function nextOf(
  { length, submitted, generated }: Scheduled,
  most: number,
  { together, whole }: Pick<Rules, "together" | "whole">,
): number {
  const left = length - submitted;
  if (whole) return left > generated ? left - generated : 1;
  // What a step had read is read alone again, so that its routes are known.
  return Math.min(most, together && generated > 0 && left > 1 ? left - 1 : left);
}

const kindsOf = (sequences: readonly Scheduled[]): readonly string[] => [...new Set(sequences.map((s) => s.kind))];

/** The sequence that gives up its memory where it is short: the one that came last. */
export const leastUrgent = <S extends Scheduled>(active: readonly S[]): S =>
  active.toSorted((a, b) => a.began - b.began).at(-1)!;
