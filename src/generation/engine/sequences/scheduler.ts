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
  /** What `Flight.tried` has of it. */
  readonly tried: string;
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
  /** Whether a prompt is read in one run, and each token after it alone: caches of the last loop need it. */
  readonly whole: boolean;
  /** Where runs of a prompt of `length` tokens end: the next place behind `from`. Null: anywhere. */
  readonly ends?: ((from: number, length: number) => number) | null;
  /** Guesses tokens; null: none are guessed. */
  readonly drafts: DraftRules | null;
  readonly pace: Paced;
}

/** How much is submitted at once. */
export interface Paced {
  /** The most steps in flight. `hurry`: prompts wait to be read. */
  ahead(hurry: boolean): number;
  /** The most tokens of a run that reads prompts. `others`: sequences step, which wait for it. */
  chunk(others: boolean): number;
}

export interface DraftRules {
  /** The next draft; null: there is none. */
  plan<S extends Scheduled>(active: readonly S[], tried: Flight["tried"]): Plan<S> | null;
  /** Whether the next tokens of a sequence are guessed: then it has no steps. */
  guesses(sequence: Scheduled): boolean;
}

/** Runs in flight, and plans without room since the last answer. */
export interface Flight {
  readonly steps: number;
  readonly prompts: number;
  readonly tried: ReadonlySet<string>;
}

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
  const draft = rules.drafts?.plan(active, tried);
  if (draft) return draft;
  const reading = active.filter((s) => s.phase === "reading" && !s.over).toSorted((a, b) => a.began - b.began);
  if (!tried.has("step") && steps < rules.pace.ahead(reading.length + waiting > 0)) {
    const stepping = rules.together && reading.length > 0 ? [] : active.filter((s) => hasStep(s, rules));
    const kinds = [...new Set(stepping.map((s) => s.kind))];
    const runs = kinds.map((kind) =>
      stepping.filter((s) => s.kind === kind).map((sequence) => ({ sequence, tokens: 1 })),
    );
    if (runs.length > 0) return { action: "step", tried: "step", runs };
  }
  if (prompts > 0 || reading.length === 0 || tried.has("prompt")) return null;
  const others = active.some((s) => s.phase === "stepping" && !s.over);
  return { action: "prompt", tried: "prompt", runs: [chunkOf(reading, rules.pace.chunk(others), rules)] };
}

/** Whether a sequence may have a step now. */
const hasStep = (s: Scheduled, { drafts }: Rules): boolean =>
  s.phase === "stepping" && !s.over && s.wanted > 0 && !(s.waitsForTokens && s.choosing > 0) && !drafts?.guesses(s);

/** The next tokens of sequences of one kind, in their order. */
function chunkOf<S extends Scheduled>(reading: readonly S[], most: number, rules: Rules): readonly Wish<S>[] {
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
function nextOf({ length, submitted, generated }: Scheduled, most: number, { together, whole, ends }: Rules): number {
  const left = length - submitted;
  if (whole) return left > generated ? left - generated : 1;
  // If a step had read the last token, it is read alone again, so that its routes are known.
  const next = ends ? Math.min(left, ends(submitted, length) - submitted) : left;
  return Math.min(most, together && generated > 0 && left > 1 ? left - 1 : next);
}
