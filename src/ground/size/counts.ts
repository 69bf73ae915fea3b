// The number of tokens of each sequence: one number if all sequences are equally long, so that memory does not grow
// with the batch; otherwise a list.
import type { Rational } from "../numerics/rational.js";

/** The largest extent of an axis, since kernels count in 32 bits. */
export const MAX_EXTENT = 0xffffffff;

/** The counts of each sequence, their sum and their largest. */
export class Counts {
  readonly batch: number;
  /** Tokens of every sequence if all are equally long, else null. */
  readonly each: number | null;
  readonly rows: number;
  /** The largest count. For an input axis, the input's extent, which may exceed every length. */
  readonly longest: number;
  /** False if the axis derives from `above`: the counts are then upper bounds or estimates. */
  readonly exact: boolean;
  /** The exact value of `rows`, which may exceed the safe integers. */
  readonly rowsExactly: number | Rational;
  #list: Uint32Array | null;

  private constructor(
    batch: number,
    each: number | null,
    list: Uint32Array | null,
    rows: bigint | number,
    longest: number,
    exact: boolean,
  ) {
    this.batch = batch;
    this.each = each;
    this.#list = list;
    this.rows = Number(rows);
    this.rowsExactly = typeof rows === "number" ? rows : { num: rows, den: 1n };
    this.longest = longest;
    this.exact = exact;
  }

  /** `each` tokens in every one of `batch` sequences. */
  static equal(batch: number, each: number, exact: boolean): Counts {
    const rows = batch * each;
    return new Counts(
      batch,
      each,
      null,
      Number.isSafeInteger(rows) ? rows : BigInt(batch) * BigInt(each),
      batch === 0 ? 0 : each,
      exact,
    );
  }

  /** Counts from a list; `longest` overrides the maximum of the list. */
  static listed(list: Uint32Array, exact: boolean, longest?: number): Counts {
    let rows: number | bigint = 0;
    let most = 0;
    for (const n of list) {
      rows += n;
      if (n > most) most = n;
    }
    if (!Number.isSafeInteger(rows)) rows = list.reduce((sum, n) => sum + BigInt(n), 0n);
    return new Counts(list.length, null, list, rows, longest ?? most, exact);
  }

  /**
   * Applies `count` to the counts of each sequence on the axes `from`, which have the same batch size. If each of
   * `from` is one number, so is the result.
   */
  static derived(
    batch: number,
    from: readonly Counts[],
    exact: boolean,
    count: (...counts: readonly number[]) => number,
  ): Counts {
    if (from.every((c) => c.each !== null)) return Counts.equal(batch, count(...from.map((c) => c.each!)), exact);
    const list = new Uint32Array(batch);
    for (let b = 0; b < batch; b++) list[b] = count(...from.map((c) => c.at(b)));
    return Counts.listed(list, exact);
  }

  /** The count of one sequence. */
  at(sequence: number): number {
    return this.each ?? this.#list![sequence]!;
  }

  /** The counts as a list of batch size. Use it only if other data of that size is allocated anyway. */
  get list(): Uint32Array {
    return (this.#list ??= new Uint32Array(this.batch).fill(this.each!));
  }

  /** The distinct counts, ascending. */
  get distinct(): readonly number[] {
    if (this.each !== null) return this.batch === 0 ? [] : [this.each];
    return [...new Set(this.#list)].toSorted((a, b) => a - b);
  }

  /** Whether each sequence has the same count in `other`. */
  equals(other: Counts): boolean {
    if (this === other) return true;
    if (this.batch !== other.batch || this.rows !== other.rows) return false;
    if (this.each !== null && other.each !== null) return this.each === other.each;
    for (let b = 0; b < this.batch; b++) if (this.at(b) !== other.at(b)) return false;
    return true;
  }

  /**
   * `starts[b]`: the first packed row of sequence b; the last entry is the number of rows. Its length is the batch size
   * plus 1.
   */
  starts(): Uint32Array {
    return startsOf(this.list);
  }
}

/** `starts[b]`: the first packed row of sequence b; the last entry is the number of rows. */
export function startsOf(counts: ArrayLike<number>): Uint32Array {
  const starts = new Uint32Array(counts.length + 1);
  for (let b = 0; b < counts.length; b++) starts[b + 1] = starts[b]! + counts[b]!;
  return starts;
}
