// A model compiled for generation: two programs over shared states, and the metadata a host needs to run them. Plain
// data, serialized like programs.
import type { Program } from "./program.js";
import {
  format,
  itself,
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
  /** Reads the next tokens of each sequence, any number; with 0 tokens a sequence stays unchanged. */
  readonly prompt: Program;
  /** Reads the last chosen token of each sequence whose length is 1 (by default all). */
  readonly step: Program;
  /** The input of `prompt`, [batch, tokens]. */
  readonly input: string;
  readonly vocabulary: number;
  /** The most tokens of a sequence, including the prompt; null: no limit. */
  readonly context: number | null;
  readonly batchAxis: string;
  readonly tokenAxis: string;
  /** An axis of one row for each sequence, whose extent is always 1. */
  readonly sequenceAxis: string;
  /**
   * States with the sampling settings, a row for each sequence: f32[…, 7] and u32[…, 2] (`size/sampling.ts`), f32[…,
   * vocabulary].
   */
  readonly sampling: { readonly settings: string; readonly seeds: string; readonly bias: string };
  /** Name of the result u32[axes, B] of both programs: for each of `axes`, the rows of each sequence after the run. */
  readonly counts: string;
  /** The axis of all tokens first, then those of routes. */
  readonly axes: readonly GenerationAxis[];
  /** Attention layers, in order of computation. */
  readonly layers: readonly GenerationLayer[];
  /**
   * Of a generation that keeps what a token's last loop leaves in the caches, and no more: a run sees its own tokens as
   * they are in each loop, so a prompt must be one run, and later tokens a run each.
   */
  readonly loopCaches?: "last";
  /** Of a generation whose caches lie in pages; then the states and inputs below are by slot. Not in its text. */
  readonly pages?: PagedGeneration;
  /** Observed choices of entries for each token, such as of experts. Of a compiled model: its text leaves them out. */
  readonly choices?: readonly GenerationChoice[];
}

/** The cache of the tokens on an axis: all tokens, or those that take a route. */
export interface GenerationAxis {
  readonly axis: string;
  /**
   * The axis along which caches lie, whose extent is the most rows of a sequence; null where no attention has keys on
   * the axis.
   */
  readonly capacity: string | null;
  /**
   * State u32[rows(capacity)]: the position of each row in its sequence; null where it is the row's index, or without a
   * cache.
   */
  readonly positions: string | null;
  /**
   * The unique name of the route: the path of the call that chooses, with the bound name where that call makes several
   * choices; "" for all tokens.
   */
  readonly path: string;
  /** The expected share of all tokens: 1 for the axis of all tokens. */
  readonly expected: number;
}

export interface GenerationLayer {
  /** The path of the call, numbered where it has several attentions. */
  readonly path: string;
  readonly axis: string;
  /** Bytes that a token's keys and values take in the caches: none of those that lie where an earlier layer's do. */
  readonly bytes: number;
}

/**
 * Caches in pages: the host gives pages of pools to sequences, and a slot to each, in which the programs keep what is
 * of a sequence. A run is of any sequences, in any order.
 */
export interface PagedGeneration {
  /** Rows of a page. */
  readonly page: number;
  /** The axis of slots, and the input u32[B] with the slot of each sequence of a run. */
  readonly slots: { readonly axis: string; readonly input: string };
  /** State u32[slots] with the token chosen last. */
  readonly token: string;
  /** State u32[slots, words]: the set of tokens that a text has. */
  readonly seen: string;
  /** Result f32[B, tokens, vocabulary] of `prompt`: logits of every token read. */
  readonly allLogits: string;
  /** For each of the generation's `axes`. */
  readonly axes: readonly PagedAxis[];
  /** Null where the model skips nothing. */
  readonly draft: DraftPrograms | null;
}

/** Guesses tokens with all routes skipped, and reads what was guessed. */
export interface DraftPrograms {
  /** As the generation's `step`; tokens have rows on the axis of all tokens only. */
  readonly step: Program;
  /** As `prompt`, with the result u32[B, tokens] `tokens`: the token chosen behind each that was read. */
  readonly verify: Program;
  readonly tokens: string;
}

export interface PagedAxis {
  /** State u32[slots]: the rows of each sequence. */
  readonly counts: string;
  /** The axis of the pool's rows, a multiple of `page`; null where no attention has keys on the axis. */
  readonly pool: string | null;
  /** The axis of the pages of a sequence, and the input u32[B, pages]; null where `pool` is. */
  readonly pages: { readonly axis: string; readonly input: string } | null;
  /**
   * Result u32[B, rows] of `prompt` with the positions of the tokens that took the route; null for all tokens, and
   * where it cannot be told.
   */
  readonly taken: string | null;
  /** States along the pool, and the bytes of a row of each. */
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
   * The result u32[B, tokens, columns] of both programs with the entries of each token of a run: from `column` on as
   * many as it can have, `slots`, ascending; behind them how many it has.
   */
  readonly output: string;
  readonly column: number;
  readonly slots: number;
}

/** Reads the text of a generation, as untrusted input. Throws ProgramError with the place in the data. */
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
    { loopCaches: oneOf(["last"]) },
  )(root);
  const known =
    (what: string, names: (program: Program) => readonly string[]): Read<string> =>
    (r) => {
      const name = r.string();
      const both = [at.prompt, at.step].every((program) => names(program).includes(name));
      return both ? name : r.fail(`is ${JSON.stringify(name)}, which is no ${what} of both programs`);
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
  return {
    ...at,
    batchAxis: axis(at.batchAxis),
    tokenAxis,
    sequenceAxis: axis(at.sequenceAxis),
    sampling: object({ settings: state, seeds: state, bias: state })(at.sampling),
    counts: result(at.counts),
    axes,
    layers: at.layers.list(object({ path: string, axis, bytes: whole(0) })),
  };
}

/** Prints a generation. Equal generations give equal text. */
export function printGeneration(generation: Generation): string {
  const { prompt, step, choices: _, pages: __, ...rest } = generation;
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const programs = [`"prompt": ${printProgram(prompt).trim()}`, `"step": ${printProgram(step).trim()}`];
  return `{\n${[...fields, ...programs].join(",\n")}\n}\n`;
}
