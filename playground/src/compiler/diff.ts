// What changed between two lists of lines: a shortest script of lines taken away and added (Myers 1986).

export interface DiffLine {
  readonly text: string;
  readonly change: "same" | "added" | "removed";
}

/** Lines are equal where their keys are. Null where the lists differ in more than `most` lines. */
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

/** How far into `a` each diagonal k = x − y has come with fewer than d edits, k from −d − 1 to d + 1. */
type Reached = Int32Array;
const reached = (ends: Reached, d: number, k: number): number => ends[k + d + 1]!;

/** The diagonal that the d-th edit came from. */
const comesFrom = (ends: Reached, d: number, k: number): number =>
  k === -d || (k !== d && reached(ends, d, k - 1) < reached(ends, d, k + 1)) ? k + 1 : k - 1;

/** For each number of edits up to the least that suffices; null: `most` do not. */
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
