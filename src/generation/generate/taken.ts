// Reads from the caches which tokens of a generation took which route. Not in packages.
import type { Core } from "../engine/core.js";
import { Together } from "./together.js";

/**
 * For each axis, the positions of the tokens of each sequence that took it; null: the caches do not have them. The
 * generation has ended, and no other began.
 */
export async function takenIn(core: Core, together: Together): Promise<readonly (readonly Uint32Array[] | null)[]> {
  // A sequence that ended before the loss of a device was not read again.
  if (together.lost) return takenIn(core, await readAgain(core, together));
  const { generation, place } = core.opened;
  const { axes } = generation;
  const values = await place.prompt.readStates(axes.flatMap((a) => a.positions ?? []));
  return axes.map(({ positions, capacity }, axis) => {
    const rows = together.sequences.map((sequence) => sequence.rows[axis]!);
    if (axis === 0) return rows.map((n) => Uint32Array.from({ length: n }, (_, at) => at));
    if (positions === null || capacity === null) return null;
    const { data } = values.get(positions)!;
    const room = data.length / rows.length;
    return rows.map((n, b) => Uint32Array.from(data.subarray(b * room, b * room + n)));
  });
}

/** Reads the sequences again, and no token more. */
async function readAgain(core: Core, { sequences }: Together): Promise<Together> {
  const settled = sequences.map((sequence) => ({
    ...sequence.settled,
    prompt: sequence.tokens.slice(0, sequence.rows[0]),
    maxTokens: 0,
    most: 0,
    biases: null,
  }));
  const again = new Together(core, settled);
  try {
    for await (const _ of again.tokens());
  } finally {
    await again.end();
  }
  return again;
}
