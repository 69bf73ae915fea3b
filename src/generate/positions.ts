// Which tokens took which route, read back from the caches. Packages leave it out.
import type { Place } from "./place.js";

/** By axis, of each sequence, the positions of its `rows`; null where they are not kept. */
export async function positionsOn(
  { generation, prompt }: Pick<Place, "generation" | "prompt">,
  rows: (axis: number) => readonly number[],
): Promise<readonly (readonly Uint32Array[] | null)[]> {
  const { axes } = generation;
  const values = await prompt.readStates(axes.flatMap((a) => a.positions ?? []));
  return axes.map(({ positions, capacity }, i) => {
    const own = rows(i);
    if (i === 0) return own.map((n) => Uint32Array.from({ length: n }, (_, at) => at));
    if (positions === null || capacity === null) return null;
    const { data } = values.get(positions)!;
    const room = data.length / own.length;
    return own.map((n, b) => Uint32Array.from(data.subarray(b * room, b * room + n)));
  });
}
