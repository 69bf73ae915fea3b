// What sequences took: time, tokens of each layer, memory, operations.
import { add, parseRational, type Rational, toNumber, ZERO } from "../../ground/numerics/rational.js";
import { parseSize } from "../../ground/size/parse-size.js";
import { evaluateSize } from "../../ground/size/size.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import type { Summary } from "../types.js";
import type { Caches } from "./caches/caches.js";
import { stateBytes } from "./caches/use.js";
import type { Sequence } from "./sequences/sequence.js";
import type { EngineModel, RequestUse } from "./types.js";

/** Sizes summed over many steps, by axis. */
interface StepSizes {
  /** The sum of rows over all steps. */
  readonly rows: ReadonlyMap<string, number>;
  /** Extents; for capacity axes the average number of rows per sequence. */
  readonly extents: ReadonlyMap<string, number>;
}

/**
 * Floating-point operations of all steps; a multiply-add counts as two. `dense`: were all experts real ones, where some
 * do nothing.
 */
export function flopsOf(
  program: Pick<Program, "works" | "live">,
  { rows, extents }: StepSizes,
  { dense }: { readonly dense: boolean },
): number {
  // valid: checked when the program was parsed
  const live = new Map(program.live.map((l) => [l.name, parseRational(l.default)!]));
  let sum: Rational = ZERO;
  for (const { flops, denseFlops = flops } of program.works) {
    const text = dense ? denseFlops : flops;
    const value = evaluateSize(typeof text === "number" ? text : parseSize(text), (atom) => {
      if (atom.kind === "live") return live.get(atom.name)!;
      return (atom.kind === "rows" ? rows : extents).get(atom.axis) ?? rows.get(atom.axis) ?? 0;
    });
    sum = add(sum, value);
  }
  return toNumber(sum);
}

/**
 * The number of attentions on each axis; 1 for a route without attention, 0 for the axis of all tokens without
 * attention.
 */
export const layersOn = ({ axes, layers }: Pick<Generation, "axes" | "layers">): readonly number[] =>
  axes.map(({ axis }, i) => Math.max(layers.filter((l) => l.axis === axis).length, i === 0 ? 0 : 1));

export function modelOf(generation: Generation): EngineModel {
  const layers = layersOn(generation);
  return {
    vocabulary: generation.vocabulary,
    context: generation.context,
    routes: generation.axes.map(({ path }, i) => ({ path, layers: layers[i]! })),
    live: generation.prompt.live.map((l) => l.name),
  };
}

/** The use of the tokens that were read; operations as those of steps, each with a cache of half the sequence. */
export function useOf(generation: Generation, sequence: Sequence): RequestUse {
  const { axes, layers, sequenceAxis, batchAxis, step } = generation;
  const { promptLength, generated } = sequence;
  const bytes = axes.map(({ axis }) => layers.reduce((sum, l) => sum + (l.axis === axis ? l.bytes : 0), 0));
  const [read = 0] = sequence.rows; // every token is on the first axis
  const work = (dense: boolean): number => {
    if (read === 0) return 0;
    const rowsOn = (i: number): number => (dense ? read : sequence.rows[i]!);
    const rows = axes.map(({ axis }, i) => [axis, rowsOn(i)] as const);
    const extents = axes.flatMap(({ capacity }, i) =>
      capacity === null ? [] : [[capacity, Math.ceil(rowsOn(i) / 2)] as const],
    );
    // Of a prompt only the last token's logits are computed.
    const sizes = {
      rows: new Map([...rows, [sequenceAxis, generated + 1]]),
      extents: new Map([...extents, [batchAxis, 1]]),
    };
    return flopsOf(step, sizes, { dense });
  };
  const states = read > 0 ? stateBytes(generation) : 0;
  const cached = (rows: (i: number) => number): number => bytes.reduce((sum, each, i) => sum + each * rows(i), states);
  return {
    promptTokens: generated > 0 ? promptLength : Math.min(read, promptLength),
    cachedTokens: sequence.cached ?? 0,
    generatedTokens: generated,
    routes: [...sequence.rows],
    flops: { own: work(false), dense: work(true) },
    cache: { own: cached((i) => sequence.rows[i]!), dense: cached(() => read) },
  };
}

/** Timing of a generation, in milliseconds. */
export class Timing {
  readonly #compiled: () => number;
  readonly #begin = performance.now();
  readonly #before: number;
  #first = this.#begin;
  #last = this.#begin;
  #reading = 0;
  #adding = 0;

  /** `compiled`: the time spent waiting for kernel compilation so far, in milliseconds. */
  constructor(compiled: () => number = () => 0) {
    this.#compiled = compiled;
    this.#before = compiled();
  }

  /** Records that the prompts have been read. */
  first(): void {
    this.#first = this.#last = performance.now();
    this.#reading = this.#compiled() - this.#before;
  }
  token(): void {
    this.#last = performance.now();
    this.#adding = this.#compiled() - this.#before - this.#reading;
  }
  get firstToken(): number {
    return this.#first - this.#begin;
  }
  /** The part of `firstToken` that was spent waiting for kernel compilation. */
  get compiling(): number {
    return Math.min(this.#reading, this.firstToken);
  }
  /** Time after the first token, without waiting for kernel compilation. */
  get generation(): number {
    return Math.max(0, this.#last - this.#first - this.#adding);
  }
}

export interface Done {
  /** Tokens of each prompt, and generated tokens of each sequence. */
  readonly prompts: readonly number[];
  readonly generatedTokens: readonly number[];
  /** Rows of the prompts on each axis; empty if they were not read completely. */
  readonly read: readonly (readonly number[])[];
  /** The rows of each sequence on each axis, up to the end of its text. */
  readonly rows: readonly (readonly number[])[];
  /** By axis, rows for which there is room. */
  readonly allocated: readonly number[];
  readonly timing: Timing;
}

const sum = (list: Iterable<number>): number => {
  let total = 0;
  for (const n of list) total += n;
  return total;
};

export function summarise(
  generation: Generation,
  { prompts, generatedTokens, read, rows, allocated, timing }: Done,
): Summary {
  const { axes, layers } = generation;
  const totals = rows.map(sum);
  const bytes = axes.map(({ axis }) => layers.reduce((n, l) => n + (l.axis === axis ? l.bytes : 0), 0));
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((n, v, i) => n + v * b[i]!, 0);
  const attentionsPerAxis = layersOn(generation);
  const state = stateBytes(generation);
  const states = state * rows[0]!.filter((read) => read > 0).length;
  return {
    promptTokens: sum(prompts),
    generatedTokens: sum(generatedTokens),
    firstToken: timing.firstToken,
    compiling: timing.compiling,
    generation: timing.generation,
    routes: axes.map(({ path }, i) => ({ path, layers: attentionsPerAxis[i]!, tokens: totals[i]! })),
    cache: {
      used: dot(bytes, totals) + states,
      allocated: dot(bytes, allocated) + state * prompts.length,
      dense: sum(bytes) * totals[0]! + states,
    },
    flops: flopsPerToken(generation, totals, read, prompts.length),
  };
}

/** The summary of sequences so far. `promptRows`: for each whose prompt was read, its rows by axis then. */
export function summaryOf(
  { generation, caches }: { readonly generation: Generation; readonly caches: Pick<Caches, "allocated"> },
  sequences: readonly Sequence[],
  promptRows: readonly (readonly number[])[],
  timing: Timing,
): Summary {
  const byAxis = (all: readonly (readonly number[])[]): readonly (readonly number[])[] =>
    generation.axes.map((_, axis) => all.map((own) => own[axis]!));
  const rows = byAxis(sequences.map((sequence) => sequence.rows));
  return summarise(generation, {
    prompts: sequences.map(({ promptLength }) => promptLength),
    generatedTokens: sequences.map(({ generated }) => generated),
    read: sequences.every((_, i) => promptRows[i]) ? byAxis(promptRows) : [],
    rows,
    allocated: rows.map((own, axis) => caches.allocated(axis, own)),
    timing,
  });
}

/** Operations of the steps alone: the rows added since the prompts were read, with caches of average length. */
function flopsPerToken(
  generation: Generation,
  totals: readonly number[],
  read: readonly (readonly number[])[],
  sequences: number,
): Summary["flops"] {
  if (read.length === 0) return null;
  const before = read.map(sum);
  const steps = totals[0]! - before[0]!;
  return flopsBetween(generation, { program: generation.step, before, totals, sequences, logits: steps });
}

/**
 * Average operations of a token between two states of the caches, given as rows on each axis. `logits`: for how many
 * tokens `program` computed them. Null if no token was read.
 */
export function flopsBetween(
  { axes, sequenceAxis, batchAxis }: Generation,
  {
    program,
    before,
    totals,
    sequences,
    logits,
  }: {
    readonly program: Generation["step"];
    readonly before: readonly number[];
    readonly totals: readonly number[];
    readonly sequences: number;
    readonly logits: number;
  },
): Summary["flops"] {
  const added = totals.map((n, i) => n - before[i]!);
  const tokens = added[0]!;
  if (tokens === 0) return null;
  const mean = totals.map((n, i) => Math.round((n + before[i]!) / 2 / sequences));
  const each = (dense: boolean): number => {
    const of = (all: readonly number[], i: number): number => all[dense ? 0 : i]!;
    const sizes: StepSizes = {
      rows: new Map([...axes.map(({ axis }, i) => [axis, of(added, i)] as const), [sequenceAxis, logits]]),
      extents: new Map([
        ...axes.flatMap(({ capacity }, i) => (capacity === null ? [] : [[capacity, of(mean, i)] as const])),
        [batchAxis, logits],
      ]),
    };
    return flopsOf(program, sizes, { dense }) / tokens;
  };
  return { own: each(false), dense: each(true) };
}
