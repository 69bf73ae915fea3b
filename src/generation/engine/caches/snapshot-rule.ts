// Where states of recurrences are copied for other texts. Pure.

/** After how many tokens of a text its states are copied. */
export const EVERY = 256;

/** Where the runs of a prompt end so that its states can be copied. */
export interface SnapshotRule {
  /** After each of so many tokens, and behind the last page of so many that leaves a token to read. */
  readonly every: number;
  readonly page: number;
}

/** The last place where the states of a prompt are copied: 0 for a prompt of one page or less. */
export const lastSnapshot = (length: number, { page }: SnapshotRule): number => Math.floor((length - 1) / page) * page;

/** The next place behind `from` where the states of a prompt of `length` tokens are copied, in tokens. */
export function nextSnapshot(from: number, length: number, rule: SnapshotRule): number {
  const next = (Math.floor(from / rule.every) + 1) * rule.every;
  const last = lastSnapshot(length, rule);
  return last > from ? Math.min(last, next) : next;
}
