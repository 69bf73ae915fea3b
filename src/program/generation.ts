// A model compiled to generate: two programs over the same states, and what a host must know to drive them. Plain data,
// printed and read back as programs are.
import type { Program } from "./program.js";
import { Reader } from "./reader.js";
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
  root.fields([
    "format",
    "version",
    "prompt",
    "step",
    "input",
    "vocabulary",
    "context",
    "batchAxis",
    "tokenAxis",
    "sequenceAxis",
    "sampling",
    "counts",
    "axes",
    "layers",
  ]);
  if (root.get("format").string() !== GENERATION_FORMAT)
    root.get("format").fail(`must be ${JSON.stringify(GENERATION_FORMAT)}`);
  const version = root.get("version").integer(0);
  if (version !== GENERATION_VERSION)
    root.get("version").fail(`is ${version}: this version of modc reads ${GENERATION_VERSION}`);
  const programs = [readProgram(root.get("prompt")), readProgram(root.get("step"))] as const;
  const [prompt, step] = programs;
  const known = (r: Reader, names: (program: Program) => readonly string[], what: string): string => {
    const name = r.string();
    return programs.every((p) => names(p).includes(name))
      ? name
      : r.fail(`is ${JSON.stringify(name)}, which is no ${what} of both programs`);
  };
  const axis = (r: Reader): string => known(r, (p) => p.axes.map((a) => a.name), "axis");
  const state = (r: Reader): string => known(r, (p) => p.states.map((s) => s.name), "state");
  const sampling = root.get("sampling");
  sampling.fields(["settings", "seeds", "bias"]);
  const input = root.get("input").string();
  if (!prompt.inputs.some((i) => i.name === input))
    root.get("input").fail(`is ${JSON.stringify(input)}, which the prompt does not read`);
  const axes = root.get("axes").list((r): GenerationAxis => {
    r.fields(["axis", "capacity", "positions", "path", "expected"]);
    return {
      axis: axis(r.get("axis")),
      capacity: r.get("capacity").orNull(axis),
      positions: r.get("positions").orNull(state),
      path: r.get("path").string(),
      expected: r.get("expected").number(),
    };
  });
  const [first] = axes;
  if (!first || first.axis !== root.get("tokenAxis").string() || first.capacity === null)
    root.get("axes").fail("must begin with the axis of all tokens");
  return {
    format: GENERATION_FORMAT,
    version: GENERATION_VERSION,
    prompt,
    step,
    input,
    vocabulary: root.get("vocabulary").integer(1),
    context: root.get("context").orNull((c) => c.integer(1)),
    batchAxis: axis(root.get("batchAxis")),
    tokenAxis: axis(root.get("tokenAxis")),
    sequenceAxis: axis(root.get("sequenceAxis")),
    sampling: {
      settings: state(sampling.get("settings")),
      seeds: state(sampling.get("seeds")),
      bias: state(sampling.get("bias")),
    },
    counts: known(root.get("counts"), (p) => p.outputs.map((o) => o.name), "result"),
    axes,
    layers: root.get("layers").list((r): GenerationLayer => {
      r.fields(["path", "axis", "bytes"]);
      return { path: r.get("path").string(), axis: axis(r.get("axis")), bytes: r.get("bytes").integer(0) };
    }),
  };
}

/** As text; the same generation always gives the same. */
export function printGeneration(generation: Generation): string {
  const { prompt, step, ...rest } = generation;
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const programs = [`"prompt": ${printProgram(prompt).trim()}`, `"step": ${printProgram(step).trim()}`];
  return `{\n${[...fields, ...programs].join(",\n")}\n}\n`;
}
