// The axes of the two programs of generation: their names, and how long they are for texts of a length.
import type { Axis } from "../size/axes.js";
import { toNumber } from "../size/rational.js";

/** An axis of one row for each sequence: that of what is chosen for it. */
export const SEQUENCES = "generate.sequence";

/** The axis of as many rows as the caches of an axis have for each sequence. */
export const capacityOf = (axis: string): string => `${axis}.capacity`;

/**
 * Extents of the axes of `prompt` (`tokens` of each sequence) or `step` (`tokens`: 1), for sequences that have `length`
 * tokens then.
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
      if (axis.count.kind === "above")
        shares.set(axis.name, (shares.get(axis.count.parent) ?? 1) * toNumber(axis.count.expected));
      if (axis.count.kind !== "input") return [];
      if (axis.name === SEQUENCES) return [[axis.name, 1]];
      if (!capacities.has(axis.name)) return [[axis.name, tokens]];
      const [of] = [...axes].filter((a) => capacityOf(a.name) === axis.name);
      return [[axis.name, Math.max(1, Math.ceil(length * (shares.get(of!.name) ?? 1)))]];
    }),
  );
}
