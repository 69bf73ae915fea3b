// A model compiled for generation: two programs over shared states, and the metadata that a host needs to run them.
// Plain data, serialized like programs.
import type { Program } from "./program.js";
import {
  format,
  itself,
  list,
  object,
  objectWith,
  oneOf,
  orNull,
  Reader,
  real,
  text as string,
  version,
  whole,
  type Read,
} from "./reader.js";
import { printProgram, readProgram } from "./serialize.js";

export const GENERATION_FORMAT = "modc-generation";
export const GENERATION_VERSION = 2;

export interface Generation {
  readonly format: typeof GENERATION_FORMAT;
  readonly version: typeof GENERATION_VERSION;
  /** Reads the next tokens of each sequence, any number; a sequence with 0 tokens stays unchanged. */
  readonly prompt: Program;
  /** Reads the last chosen token of each sequence of length 1 (by default all). */
  readonly step: Program;
  /**
   * Computes values of given inputs once a text, before its prompt, and keeps them in states. The other programs read
   * the states. Its sequence axes but the token axis need their lengths in runs of all programs.
   */
  readonly given?: Program;
  /** The input of `prompt`, [batch, tokens]. */
  readonly input: string;
  /** Further inputs of `prompt` and `step` with a value for each token, [batch, tokens, …]. */
  readonly beside?: readonly string[];
  readonly vocabulary: number;
  /** The most tokens of a sequence, including the prompt; null: no limit. */
  readonly context: number | null;
  readonly batchAxis: string;
  readonly tokenAxis: string;
  /** An axis with one row for each sequence, whose extent is always 1. */
  readonly sequenceAxis: string;
  /**
   * States with the sampling settings, a row for each sequence: f32[…, 7] and u32[…, 2] (`size/sampling.ts`), f32[…,
   * vocabulary].
   */
  readonly sampling: { readonly settings: string; readonly seeds: string; readonly bias: string };
  /** Name of the result u32[axes, B] of both programs: for each of `axes`, the rows of each sequence after the run. */
  readonly counts: string;
  /** The axis of all tokens first, then the axes of routes. */
  readonly axes: readonly GenerationAxis[];
  /** Attention layers, in order of computation. */
  readonly layers: readonly GenerationLayer[];
  /** The states of recurrences: values of a fixed size for each sequence. Absent: there are none. */
  readonly states?: readonly GenerationState[];
  /**
   * Set if the caches keep only a token's keys and values of its last loop. A run attends to its own tokens as they are
   * in each loop, so a prompt must be one run, and each later token its own run.
   */
  readonly loopCaches?: "last";
  /** Set if caches are paged; then the states and inputs below are indexed by slot. Not serialized. */
  readonly pages?: PagedGeneration;
  /** Observed choices of entries for each token, such as experts. Not serialized. */
  readonly choices?: readonly GenerationChoice[];
}

/** The cache of the tokens on an axis: all tokens, or the tokens that take a route. */
export interface GenerationAxis {
  readonly axis: string;
  /**
   * The axis of the caches' rows, whose extent is the most rows of a sequence; null if no attention has keys on the
   * axis.
   */
  readonly capacity: string | null;
  /**
   * State u32[rows(capacity)]: the position of each row in its sequence; null if the position is the row's index, or
   * there is no cache.
   */
  readonly positions: string | null;
  /**
   * The unique name of the route: the path of the call that chooses, followed by the bound name if the call makes
   * several choices; "" for all tokens.
   */
  readonly path: string;
  /** The expected share of all tokens: 1 for the axis of all tokens. */
  readonly expected: number;
}

export interface GenerationLayer {
  /** The path of the call, numbered if the call has several attentions. */
  readonly path: string;
  readonly axis: string;
  /** Bytes of a token's keys and values in the caches, without caches shared with an earlier layer. */
  readonly bytes: number;
}

export interface GenerationState {
  /** Name of a state with a row for each sequence, [sequences, …]; with caches in pages for each slot, [slots, …]. */
  readonly name: string;
  /** Bytes of a row. */
  readonly bytes: number;
}

/**
 * Paged caches: the host assigns pages of pools and a slot to each sequence. The programs store per-sequence state in
 * the slot. A run may have any sequences, in any order.
 */
export interface PagedGeneration {
  /** Rows of a page. */
  readonly page: number;
  /** The axis of slots, and the input u32[B] with the slot of each of the run's sequences. Null: one sequence, no slots. */
  readonly slots: { readonly axis: string; readonly input: string } | null;
  /** State u32[slots]: the last chosen token. */
  readonly token: string;
  /** State u32[slots, words]: the set of tokens that occur in a sequence. */
  readonly seen: string;
  /** Result f32[B, tokens, vocabulary] of `prompt`: logits of every token read. */
  readonly allLogits: string;
  /** One entry for each of the generation's `axes`. */
  readonly axes: readonly PagedAxis[];
  /**
   * `step` for a run of one sequence that is in slot 0: it has no input for slots, and fewer kernels. Null without
   * slots.
   */
  readonly first: Program | null;
  /** The programs for drafting; null if the model has no routes to skip. */
  readonly draft: DraftPrograms | null;
}

/** Drafts tokens with all routes skipped, and verifies drafted tokens. */
export interface DraftPrograms {
  /** Like the generation's `step`, but tokens have rows on the axis of all tokens only. */
  readonly step: Program;
  /** Like `prompt`, with the result u32[B, tokens] `tokens`: the token chosen after each token read. */
  readonly verify: Program;
  readonly tokens: string;
}

export interface PagedAxis {
  /** State u32[slots]: the rows of each sequence. */
  readonly counts: string;
  /** The axis of the pool's rows, a multiple of `page`; null if no attention has keys on the axis. */
  readonly pool: string | null;
  /** The axis of a sequence's pages, and the input u32[B, pages]; null if `pool` is null. */
  readonly pages: { readonly axis: string; readonly input: string } | null;
  /**
   * Result u32[B, rows] of `prompt`: the positions of the tokens that took the route; null for all tokens, or if the
   * positions are unknown.
   */
  readonly taken: string | null;
  /** States with rows along the pool, and the bytes of a row of each. */
  readonly states: readonly { readonly name: string; readonly bytes: number }[];
}

export interface GenerationChoice {
  /** `layers.0.mlp.chosen` */
  readonly path: string;
  /** The axis of the tokens that choose. */
  readonly axis: string;
  /** The number of entries among which each token chooses. */
  readonly entries: number;
  /**
   * The result u32[B, tokens, columns] of both programs: the entries of each token, ascending, in the `slots` columns
   * from `column` on, followed by their number.
   */
  readonly output: string;
  readonly column: number;
  readonly slots: number;
}

/** Parses a serialized generation, as untrusted input. Throws ProgramError with the place in the data. */
export function parseGeneration(text: string): Generation {
  const root = Reader.parse(text);
  const at = objectWith(
    {
      format: format(GENERATION_FORMAT),
      version: version(GENERATION_VERSION),
      prompt: readProgram,
      step: readProgram,
      input: string,
      vocabulary: whole(1),
      context: orNull(whole(1)),
      batchAxis: itself,
      tokenAxis: itself,
      sequenceAxis: itself,
      sampling: itself,
      counts: itself,
      axes: itself,
      layers: itself,
    },
    { loopCaches: oneOf(["last"]), given: readProgram, beside: list(string), states: itself },
  )(root);
  const known =
    (what: string, names: (program: Program) => readonly string[]): Read<string> =>
    (r) => {
      const name = r.string();
      const both = [at.prompt, at.step].every((program) => names(program).includes(name));
      return both ? name : r.fail(`is ${JSON.stringify(name)}, which is not a ${what} of both programs`);
    };
  const axis = known("axis", (p) => p.axes.map((a) => a.name));
  const state = known("state", (p) => p.states.map((s) => s.name));
  const result = known("result", (p) => p.outputs.map((o) => o.name));
  if (!at.prompt.inputs.some((i) => i.name === at.input))
    root.get("input").fail(`is ${JSON.stringify(at.input)}, which the prompt does not read`);
  const axes = at.axes.list(
    object({ axis, capacity: orNull(axis), positions: orNull(state), path: string, expected: real }),
  );
  const [first] = axes;
  const tokenAxis = axis(at.tokenAxis);
  if (!first || first.axis !== tokenAxis || first.capacity === null)
    at.axes.fail("must begin with the axis of all tokens");
  const { states, ...others } = at;
  return {
    ...others,
    ...(states && { states: states.list(object({ name: state, bytes: whole(1) })) }),
    batchAxis: axis(at.batchAxis),
    tokenAxis,
    sequenceAxis: axis(at.sequenceAxis),
    sampling: object({ settings: state, seeds: state, bias: state })(at.sampling),
    counts: result(at.counts),
    axes,
    layers: at.layers.list(object({ path: string, axis, bytes: whole(0) })),
  };
}

/** Whether prompts take inputs beside the tokens. */
export const takesInputs = ({ given, beside = [] }: Pick<Generation, "given" | "beside">): boolean =>
  given !== undefined || beside.length > 0;

/** The programs that every run of a generation takes part in, without those of `pages`. */
export const programsOf = ({ prompt, step, given }: Generation): readonly Program[] => [
  prompt,
  step,
  ...(given ? [given] : []),
];

/** The generation with each program of `programsOf` replaced. */
export const mapPrograms = (generation: Generation, replaced: (program: Program) => Program): Generation => ({
  ...generation,
  prompt: replaced(generation.prompt),
  step: replaced(generation.step),
  ...(generation.given && { given: replaced(generation.given) }),
});

/** Serializes a generation. Equal generations give equal text. */
export function printGeneration(generation: Generation): string {
  const { given, prompt, step, choices: _, pages: __, ...rest } = generation;
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const programs = [
    ...(given ? [`"given": ${printProgram(given).trim()}`] : []),
    `"prompt": ${printProgram(prompt).trim()}`,
    `"step": ${printProgram(step).trim()}`,
  ];
  return `{\n${[...fields, ...programs].join(",\n")}\n}\n`;
}
