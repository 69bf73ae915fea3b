// Nearest names for "did you mean".

/** Longer names get no suggestion: the edit distance takes quadratic time. */
const MAX_LENGTH = 300;

/** The candidate with the smallest edit distance to the name; null if none is similar enough. */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  if (name.length > MAX_LENGTH) return null;
  let best: string | null = null;
  // Names of one or two letters may differ in case only.
  let least = name.length < 3 ? 1 : Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const c of candidates) {
    if (c === name || Math.abs(c.length - name.length) >= least) continue;
    // Letters of another case differ less than other letters.
    const d = Math.max(0.5, distance(name.toLowerCase(), c.toLowerCase()));
    if (d < least) [best, least] = [c, d];
  }
  return best;
}

/** Edit distance between two words: insert, delete, replace, or swap two neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let d = Math.min(replace, row[j]! + 1, next[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, before[j - 2]! + 1);
      next.push(d);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
