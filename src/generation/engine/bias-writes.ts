// Brings the biases of texts on the device up to date with the tokens that were chosen for them.
import type { Paged } from "./options.js";
import type { Sequence } from "./sequence.js";
import { biasWrite } from "./slots.js";
import type { Write } from "./state-edits.js";

/** Milliseconds of work after which others have their turn. */
const SLICE = 20;

/** `fail`: called for a text whose constraint allows nothing, or takes too much work. */
export async function biasWrites(
  paged: Paged,
  sequences: readonly Sequence[],
  fail: (sequence: Sequence, error: unknown) => void,
): Promise<readonly Write[]> {
  const writes: Write[] = [];
  let began = performance.now();
  for (const sequence of sequences) {
    if (sequence.over) continue;
    try {
      writes.push(...[biasWrite(paged, sequence)].filter((write) => write !== null));
    } catch (error) {
      fail(sequence, error);
    }
    if (performance.now() - began < SLICE) continue;
    await new Promise((resolve) => void setTimeout(resolve));
    began = performance.now();
  }
  return writes;
}
