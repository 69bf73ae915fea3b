// Chooses a kernel for each range of sizes from measured times, with as few changes of kernel as lose little time.

/** Times of choices at each size, in seconds. A choice without a time at a size cannot be used there. */
export interface Times<C> {
  readonly sizes: readonly number[];
  readonly choices: readonly C[];
  /** Indexed by choice, then by size; null: not measured. */
  readonly seconds: readonly (readonly (number | null)[])[];
}

/** A choice for all sizes up to `most` that no earlier case covers; null: for all larger sizes. */
export interface Case<C> {
  readonly most: number | null;
  readonly choice: C;
}

/**
 * The least gain, as a logarithm summed over sizes, for which a case is added. A case is one more kernel to compile
 * and, if sizes are known only at run time, one more dispatch.
 */
const CASE_COST = Math.log(1.05);

/** The least time at each size; infinite if nothing was measured. */
export const bestOf = ({ sizes, seconds }: Times<unknown>): readonly number[] =>
  sizes.map((_, s) => Math.min(...seconds.map((row) => row[s] ?? Infinity)));

/**
 * At most `maxCases` cases, the last for any size, that minimize the product over sizes of the time relative to the
 * best. `loss` is the logarithm of that product. Null if no allowed choice has a time at some size.
 */
export function chooseCases<C>(
  times: Times<C>,
  maxCases: number,
  allowed: (choice: C) => boolean = () => true,
): { readonly cases: readonly Case<C>[]; readonly loss: number } | null {
  const { sizes, choices, seconds } = times;
  const best = bestOf(times);
  if (sizes.length === 0) return null;
  const loss = (c: number, s: number): number => Math.log((seconds[c]![s] ?? Infinity) / best[s]!);
  // ends[n]: the cheapest cover of the first n sizes.
  type Cover = {
    readonly loss: number;
    readonly count: number;
    readonly before: Cover | null;
    readonly from: number;
    readonly choice: number;
  };
  let ends: (Cover | null)[] = [{ loss: 0, count: 0, before: null, from: 0, choice: -1 }, ...sizes.map(() => null)];
  let found: Cover | null = null;
  for (let count = 1; count <= maxCases; count++) {
    const next: (Cover | null)[] = [null, ...sizes.map(() => null)];
    for (let from = 0; from < sizes.length; from++) {
      const before = ends[from];
      if (!before) continue;
      choices.forEach((named, choice) => {
        if (!allowed(named)) return;
        let sum = before.loss;
        for (let to = from + 1; to <= sizes.length; to++) {
          sum += loss(choice, to - 1);
          if (sum < (next[to]?.loss ?? Infinity)) next[to] = { loss: sum, count, before, from, choice };
        }
      });
    }
    const whole = next[sizes.length];
    if (whole && whole.loss + count * CASE_COST < (found ? found.loss + found.count * CASE_COST : Infinity))
      found = whole;
    ends = next;
  }
  if (!found) return null;
  const cases: Case<C>[] = [];
  let until = sizes.length;
  for (let way: Cover | null = found; way !== null && way.choice >= 0; way = way.before) {
    cases.unshift({ most: until === sizes.length ? null : sizes[until - 1]!, choice: choices[way.choice]! });
    until = way.from;
  }
  return { cases, loss: found.loss };
}

/** The choice with the least loss over all workloads; null if none has a mean gain of `minGain` on the baseline. */
export function chooseOne<C>(
  measured: readonly { readonly times: Times<C>; readonly baseline: readonly (number | null)[] }[],
  minGain: number,
): C | null {
  const [first] = measured;
  if (!first) return null;
  const loss = (times: Times<C>, seconds: readonly (number | null)[]): number => {
    const best = bestOf(times);
    return times.sizes.reduce((sum, _, s) => sum + Math.log((seconds[s] ?? Infinity) / best[s]!), 0);
  };
  const sizes = measured.reduce((n, m) => n + m.times.sizes.length, 0);
  let least = measured.reduce((sum, m) => sum + loss(m.times, m.baseline), 0) - minGain * sizes;
  let found: C | null = null;
  for (const choice of first.times.choices) {
    const total = measured.reduce((sum, { times }) => {
      const at = times.choices.indexOf(choice);
      return sum + (at < 0 ? Infinity : loss(times, times.seconds[at]!));
    }, 0);
    if (total < least) [least, found] = [total, choice];
  }
  return found;
}
