// Reads from the caches which tokens took which route. Not in packages.
import type { Place } from "../engine/place.js";

/** By axis, the positions of the `rows` of each sequence; null for an axis without cached positions. */
export async function positionsOn(
  { generation, prompt }: Pick<Place, "generation" | "prompt">,
  rows: (axis: number) => readonly number[],
): Promise<readonly (readonly Uint32Array[] | null)[]> {
  const { axes } = generation;
  const values = await prompt.readStates(axes.flatMap((a) => a.positions ?? []));
  return axes.map(({ positions, capacity }, i) => {
    const rowCounts = rows(i);
    if (i === 0) return rowCounts.map((n) => Uint32Array.from({ length: n }, (_, at) => at));
    if (positions === null || capacity === null) return null;
    const { data } = values.get(positions)!;
    const room = data.length / rowCounts.length;
    return rowCounts.map((n, b) => Uint32Array.from(data.subarray(b * room, b * room + n)));
  });
}
