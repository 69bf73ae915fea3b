// The axes of the two programs of generation: their names, and their extents for sequences of a given length.
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
 * Extents of the axes of `prompt` (`tokens` tokens of each sequence) or `step` (`tokens`: 1), for sequences with
 * `length` tokens after the run.
 */
export function generationExtents(
  axes: readonly Axis[],
  sequences: number,
  tokens: number,
  length: number,
): ReadonlyMap<string, number> {
  const capacities = new Set(axes.map((a) => capacityOf(a.name)));
  const shares = new Map<string, number>();
  return new Map(
    axes.flatMap((axis): [string, number][] => {
      if (axis.role === "batch") return [[axis.name, sequences]];
      if (axis.role !== "sequence") return [];
      const [parent, share] = [chosenFrom(axis.count), declaredShare(axis.count)];
      if (parent !== null && share) shares.set(axis.name, (shares.get(parent) ?? 1) * toNumber(share));
      if (axis.count.kind !== "input") return [];
      if (axis.name === SEQUENCES) return [[axis.name, 1]];
      if (!capacities.has(axis.name)) return [[axis.name, tokens]];
      const [of] = [...axes].filter((a) => capacityOf(a.name) === axis.name);
      return [[axis.name, Math.max(1, Math.ceil(length * (shares.get(of!.name) ?? 1)))]];
    }),
  );
}
