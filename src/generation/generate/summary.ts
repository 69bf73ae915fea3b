// The summary of a generation: time, tokens of each layer, memory, operations.
import type { Generation } from "../../runtime/program/generation.js";
import { flopsOf, type StepSizes } from "../engine/flops.js";
import { layersOn } from "../engine/use.js";
import type { Summary } from "../types.js";

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
  return {
    promptTokens: sum(prompts),
    generatedTokens: sum(generatedTokens),
    firstToken: timing.firstToken,
    compiling: timing.compiling,
    generation: timing.generation,
    routes: axes.map(({ path }, i) => ({ path, layers: attentionsPerAxis[i]!, tokens: totals[i]! })),
    cache: { used: dot(bytes, totals), allocated: dot(bytes, allocated), dense: sum(bytes) * totals[0]! },
    flops: flopsPerToken(generation, totals, read, prompts.length),
  };
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
