// The capacity of the caches, and whether it suffices for the next run. The host knows the row counts of the last
// answered run and the tokens submitted since, so it grows a cache before it could overflow.
import type { Generation } from "../../runtime/program/generation.js";

/** Granularity of capacities. */
const GRANULARITY = 16;
/** The limit on the initial capacity: a text may end long before the context is full. */
const MAX_INITIAL = 4096;
/** Growth factor over the required capacity, so that a cache grows a few times rather than at every token. */
const GROWTH = 1.5;

const roundUp = (rows: number): number => Math.ceil(rows / GRANULARITY) * GRANULARITY;

export class Capacity {
  readonly #axes: Generation["axes"];
  readonly #context: number;
  /** By axis: the rows of each sequence after the last answered run. */
  readonly #answeredRows: Uint32Array[];
  /** Tokens of each sequence in runs that are not answered yet. */
  readonly #tokensInFlight: Uint32Array;
  /** Capacity by axis, also of axes without caches. */
  readonly #capacities: number[];
  #extents: Readonly<Record<string, number>>;

  /** Initial capacity for `sequences` of at most `longest` tokens each. */
  constructor({ axes, context }: Pick<Generation, "axes" | "context">, sequences: number, longest: number) {
    this.#axes = axes;
    this.#context = Math.min(context ?? Infinity, roundUp(longest));
    this.#answeredRows = axes.map(() => new Uint32Array(sequences));
    this.#tokensInFlight = new Uint32Array(sequences);
    const begin = Math.min(longest, MAX_INITIAL);
    this.#capacities = axes.map((a, i) => Math.min(this.#context, roundUp(i === 0 ? begin : begin * a.expected)));
    this.#extents = this.#extentsNow();
  }

  /** Extents of the capacity axes. */
  get extents(): Readonly<Record<string, number>> {
    return this.#extents;
  }
  #extentsNow(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.#axes.flatMap((a, i) => (a.capacity === null ? [] : [[a.capacity, this.#capacities[i]!]])),
    );
  }

  /** The rows of each sequence on an axis after the last answered run. */
  answeredRows(axis: number): Uint32Array {
    return this.#answeredRows[axis]!;
  }

  /** Whether a run of `lengths` tokens fits, whatever routes the tokens take. */
  fits(lengths: Uint32Array): boolean {
    return this.#axes.every((_, i) => this.#needed(i, lengths) <= this.#capacities[i]!);
  }
  /** The largest possible row count of a sequence on an axis after such a run. */
  #needed(axis: number, lengths: Uint32Array): number {
    return this.#answeredRows[axis]!.reduce(
      (most, n, b) => Math.max(most, n + this.#tokensInFlight[b]! + lengths[b]!),
      0,
    );
  }

  /** Grows the capacities so that the run fits. No axis needs more rows than the context has tokens. */
  grow(lengths: Uint32Array): void {
    this.#axes.forEach((_, i) => {
      const needed = this.#needed(i, lengths);
      if (needed > this.#capacities[i]!) this.#capacities[i] = Math.min(this.#context, roundUp(needed * GROWTH));
    });
    this.#extents = this.#extentsNow();
  }

  /** Records a submitted run. */
  submit(lengths: Uint32Array): void {
    lengths.forEach((n, b) => (this.#tokensInFlight[b]! += n));
  }
  /** Records the answer to a run: its lengths, and the rows of each sequence on each axis after it. */
  record(lengths: Uint32Array, counts: readonly ArrayLike<number>[]): void {
    lengths.forEach((n, b) => (this.#tokensInFlight[b]! -= n));
    counts.forEach((rows, i) => this.#answeredRows[i]!.set(rows));
  }
}
