// A model compiled to generate: two programs over the same states, and what a host must know to drive them. Plain data,
// printed and read back as programs are.
import type { Program } from "./program.js";
import { format, itself, object, orNull, Reader, real, text as string, version, whole, type Read } from "./reader.js";
import { printProgram, readProgram } from "./serialize.js";

export const GENERATION_FORMAT = "modc-generation";
export const GENERATION_VERSION = 2;

export interface Generation {
  readonly format: typeof GENERATION_FORMAT;
  readonly version: typeof GENERATION_VERSION;
  /** Reads the next tokens of each sequence, as many as there are; 0 leave a sequence as it is. */
  readonly prompt: Program;
  /** Reads the token that was chosen last of each sequence, or of those whose length is 1. */
  readonly step: Program;
  /** The input of `prompt`, [batch, tokens]. */
  readonly input: string;
  readonly vocabulary: number;
  /** The most tokens of a sequence, prompt and all; null: no limit. */
  readonly context: number | null;
  readonly batchAxis: string;
  readonly tokenAxis: string;
  /** An axis of one row for each sequence, whose extent is always 1. */
  readonly sequenceAxis: string;
  /**
   * States that say how tokens are chosen, a row for each sequence: f32[…, 7] and u32[…, 2] (`size/sampling.ts`),
   * f32[…, vocabulary].
   */
  readonly sampling: { readonly settings: string; readonly seeds: string; readonly bias: string };
  /** Result u32[axes, B] of both programs: of each of `axes` the rows of each sequence after the run. */
  readonly counts: string;
  /** That of all tokens first, then those of routes. */
  readonly axes: readonly GenerationAxis[];
  /** Attentions, in order of computation. */
  readonly layers: readonly GenerationLayer[];
}

/** What is kept of the tokens on an axis: all, or those that take a route. */
export interface GenerationAxis {
  readonly axis: string;
  /**
   * The axis caches lie along, its extent the most rows that a sequence can have; null where no attention has keys on
   * it.
   */
  readonly capacity: string | null;
  /**
   * State u32[rows(capacity)]: the position of each row in its sequence; null where that is its place, or where nothing
   * is kept.
   */
  readonly positions: string | null;
  /**
   * What the route is called, which no other is: the call that makes the choice, with the name it is bound to where
   * that call makes several; "" for all tokens.
   */
  readonly path: string;
  /** The share of all tokens that is expected on it: 1 for all. */
  readonly expected: number;
}

export interface GenerationLayer {
  /** The call, numbered where it has several attentions. */
  readonly path: string;
  readonly axis: string;
  /** Bytes that a token's keys and values take in the caches. */
  readonly bytes: number;
}

/** Throws ProgramError, with the place in the data, for anything a compiler would not have written. */
export function parseGeneration(text: string): Generation {
  const root = Reader.parse(text);
  const at = object({
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
  })(root);
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

/** As text; the same generation always gives the same. */
export function printGeneration(generation: Generation): string {
  const { prompt, step, ...rest } = generation;
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const programs = [`"prompt": ${printProgram(prompt).trim()}`, `"step": ${printProgram(step).trim()}`];
  return `{\n${[...fields, ...programs].join(",\n")}\n}\n`;
}
