// Basic blocks and loops of machine code.
import { EXEC, type Code } from "./instruction.js";

export interface Block {
  readonly first: number;
  /** Index after the last instruction. */
  readonly end: number;
  /** Successors. */
  readonly next: readonly number[];
}

export interface Loop {
  /** Indices of the first and the last instruction. */
  readonly first: number;
  readonly last: number;
  /** The number of other loops that contain this loop. */
  readonly depth: number;
}

export function blocksOf({ list, labels }: Code): readonly Block[] {
  const starts = new Set([0, ...labels.values()]);
  list.forEach(({ op }, i) => {
    if (/^s_c?branch|^s_endpgm/.test(op)) starts.add(i + 1);
  });
  const firsts = [...starts].filter((s) => s < list.length).sort((a, b) => a - b);
  const at = new Map(firsts.map((f, i) => [f, i]));
  return firsts.map((first, i): Block => {
    const end = firsts[i + 1] ?? list.length;
    const { op, label } = list[end - 1]!;
    const target = label === null ? undefined : at.get(labels.get(label)!);
    const falls = op !== "s_branch" && op !== "s_endpgm" && i + 1 < firsts.length;
    return { first, end, next: [...(target === undefined ? [] : [target]), ...(falls ? [i + 1] : [])] };
  });
}

/** Loops, found by their backward branches. Branches to the same head make one loop. */
export function loopsOf({ list, labels }: Code): readonly Loop[] {
  const ends = new Map<number, number>();
  list.forEach(({ label }, i) => {
    const to = label === null ? undefined : labels.get(label);
    if (to !== undefined && to <= i) ends.set(to, Math.max(ends.get(to) ?? 0, i));
  });
  const spans = [...ends].map(([first, last]) => ({ first, last }));
  return spans
    .map((l) => ({ ...l, depth: spans.filter((o) => o !== l && o.first <= l.first && o.last >= l.last).length }))
    .sort((a, b) => a.first - b.first);
}

export const isExec = (register: number): boolean => register === EXEC || register === EXEC + 1;
