// Compares two lists of lines: a shortest edit script of removals and additions (Myers 1986).

export interface DiffLine {
  readonly text: string;
  readonly change: "same" | "added" | "removed";
}

/** The edit script. Lines with equal keys are equal. Null if the lists differ in more than `most` lines. */
export function diffLines(
  before: readonly string[],
  after: readonly string[],
  key: (line: string) => string,
  most: number,
): readonly DiffLine[] | null {
  const trace = traceOf(before.map(key), after.map(key), most);
  if (trace === null) return null;
  const lines: DiffLine[] = [];
  let [x, y] = [before.length, after.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const from = comesFrom(trace[d]!, d, x - y);
    const [fromX, fromY] = [reached(trace[d]!, d, from), reached(trace[d]!, d, from) - from];
    for (; x > fromX && y > fromY; x--, y--) lines.push({ text: after[y - 1]!, change: "same" });
    if (d > 0)
      lines.push(x === fromX ? { text: after[fromY]!, change: "added" } : { text: before[fromX]!, change: "removed" });
    [x, y] = [fromX, fromY];
  }
  return lines.reverse();
}

/** For each diagonal k = x − y, from −d − 1 to d + 1, the furthest x in `a` reached with fewer than d edits. */
type Reached = Int32Array;
const reached = (ends: Reached, d: number, k: number): number => ends[k + d + 1]!;

/** The diagonal that the d-th edit came from. */
const comesFrom = (ends: Reached, d: number, k: number): number =>
  k === -d || (k !== d && reached(ends, d, k - 1) < reached(ends, d, k + 1)) ? k + 1 : k - 1;

/**
 * The furthest-reaching points for each number of edits, up to the least sufficient number; null if `most` edits do not
 * suffice.
 */
function traceOf(a: readonly string[], b: readonly string[], most: number): readonly Reached[] | null {
  const trace: Reached[] = [];
  const middle = Math.min(most, a.length + b.length) + 1;
  const ends = new Int32Array(2 * middle + 1);
  for (let d = 0; d < middle; d++) {
    const before = ends.slice(middle - d - 1, middle + d + 2);
    trace.push(before);
    for (let k = -d; k <= d; k += 2) {
      const from = comesFrom(before, d, k);
      let x = reached(before, d, from) + (from < k ? 1 : 0);
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      ends[middle + k] = x;
      if (x >= a.length && x - k >= b.length) return trace;
    }
  }
  return null;
}
