// How many rows the caches have, and whether they are enough for what is to be run: the host knows how many a sequence
// had when it last heard, and how many it was given since, so it grows a cache before it could overflow.
import type { Generation } from "../program/generation.js";

/** Capacities are multiples of this. */
const STEP = 16;
/** The most tokens that room is made for before there are any: a text may end long before the context does. */
const BEGIN = 4096;
/** Over what is needed, so that a cache grows a few times and not at every token. */
const GROWTH = 1.5;

const rounded = (rows: number): number => Math.ceil(rows / STEP) * STEP;

export class Capacity {
  readonly #axes: Generation["axes"];
  readonly #context: number;
  /** By axis: the rows of each sequence when last heard of. */
  readonly #known: Uint32Array[];
  /** Rows given to each sequence since. */
  readonly #given: Uint32Array;
  /** By axis, that of rows not kept included. */
  readonly #rows: number[];
  #extents: Readonly<Record<string, number>>;

  /** For `sequences` that will have at most `longest` tokens each. */
  constructor({ axes, context }: Pick<Generation, "axes" | "context">, sequences: number, longest: number) {
    this.#axes = axes;
    this.#context = Math.min(context ?? Infinity, rounded(longest));
    this.#known = axes.map(() => new Uint32Array(sequences));
    this.#given = new Uint32Array(sequences);
    const begin = Math.min(longest, BEGIN);
    this.#rows = axes.map((a, i) => Math.min(this.#context, rounded(i === 0 ? begin : begin * a.expected)));
    this.#extents = this.#extentsNow();
  }

  /** Extents of the axes that caches lie along. */
  get extents(): Readonly<Record<string, number>> {
    return this.#extents;
  }
  #extentsNow(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.#axes.flatMap((a, i) => (a.capacity === null ? [] : [[a.capacity, this.#rows[i]!]])),
    );
  }

  /** The rows of each sequence on an axis when last heard of. */
  known(axis: number): Uint32Array {
    return this.#known[axis]!;
  }

  /** Whether a run of so many tokens of each sequence fits, whatever takes which layer. */
  fits(lengths: Uint32Array): boolean {
    return this.#axes.every((_, i) => this.#needed(i, lengths) <= this.#rows[i]!);
  }
  /** The most rows that a sequence may have on an axis after such a run. */
  #needed(axis: number, lengths: Uint32Array): number {
    return this.#known[axis]!.reduce((most, n, b) => Math.max(most, n + this.#given[b]! + lengths[b]!), 0);
  }

  /** More rows, so that the run fits. No axis needs more than all tokens have. */
  grow(lengths: Uint32Array): void {
    this.#axes.forEach((_, i) => {
      const needed = this.#needed(i, lengths);
      if (needed > this.#rows[i]!) this.#rows[i] = Math.min(this.#context, rounded(needed * GROWTH));
    });
    this.#extents = this.#extentsNow();
  }

  /** A run was handed to the device. */
  give(lengths: Uint32Array): void {
    lengths.forEach((n, b) => (this.#given[b]! += n));
  }
  /** It was answered: its lengths, and the rows of each sequence on each axis after it. */
  record(lengths: Uint32Array, counts: readonly ArrayLike<number>[]): void {
    lengths.forEach((n, b) => (this.#given[b]! -= n));
    counts.forEach((rows, i) => this.#known[i]!.set(rows));
  }
}
