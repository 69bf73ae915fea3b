// The axes of the programs of generation: their names, and their extents for sequences of a given length.
import type { Axis } from "../../ground/size/axes.js";
import { chosenFrom, declaredShare } from "../../ground/size/count-rules.js";
import { toNumber } from "../../ground/numerics/rational.js";

/** An axis with one row for each sequence, for its next token. */
export const SEQUENCES = "generate.sequence";

/** The axis of the rows of `axis`'s caches: its extent is the cache's capacity for each sequence. */
export const capacityOf = (axis: string): string => `${axis}.capacity`;

/** With paged caches: the axis of the slots that sequences keep from run to run. */
export const SLOTS = "generate.slot";

/** Rows of a page. */
export const PAGE = 16;

/** With paged caches: the axis of the rows of `axis`'s pool, a multiple of PAGE. */
export const poolOf = (axis: string): string => `${axis}.pool`;

/** With paged caches: the axis of the pages that a sequence may have in `axis`'s pool. */
export const pagesOf = (axis: string): string => `${axis}.pages`;

/**
 * Extents of the axes of a program that reads `tokens` tokens of each sequence, for sequences with `length` tokens
 * after the run.
 */
export function generationExtents(
  axes: readonly Axis[],
  sequences: number,
  tokens: number,
  length: number,
): ReadonlyMap<string, number> {
  const isPaged = axes.some(({ name }) => name === SLOTS);
  const shares = new Map<string, number>();
  /** Extents of the axes that caches add. */
  const added = new Map([
    [SEQUENCES, 1],
    [SLOTS, sequences],
  ]);
  for (const axis of axes) {
    const [parent, share] =
      axis.role === "sequence" ? [chosenFrom(axis.count), declaredShare(axis.count)] : [null, null];
    if (parent !== null && share) shares.set(axis.name, (shares.get(parent) ?? 1) * toNumber(share));
    const rows = Math.max(1, Math.ceil(length * (shares.get(axis.name) ?? 1)));
    const pages = Math.ceil(rows / PAGE);
    added.set(capacityOf(axis.name), isPaged ? pages * PAGE : rows);
    added.set(pagesOf(axis.name), pages).set(poolOf(axis.name), sequences * pages * PAGE);
  }
  return new Map(
    axes.flatMap((axis): [string, number][] => {
      const known = added.get(axis.name) ?? (axis.role === "batch" ? sequences : undefined);
      if (known !== undefined) return [[axis.name, known]];
      if (axis.role !== "sequence") return axis.bound === null ? [] : [[axis.name, axis.bound]];
      if (axis.count.kind !== "input") return [];
      // A sequence without caches is given: it counts with its greatest length.
      const grows = axes.some(({ name }) => name === capacityOf(axis.name));
      return [[axis.name, grows ? tokens : Math.min(axis.bound ?? length, length)]];
    }),
  );
}
