// The tokens of a batch that a route chose.
import type { Batch } from "./types.js";

/**
 * The mask of an observed route over the batch's tokens: 1 for chosen tokens. `index`, u32[B, width]: chosen positions
 * in each sequence; `counts`: their number.
 */
export function chosenTokens(
  index: ArrayLike<number>,
  width: number,
  counts: ArrayLike<number>,
  { rows, length }: Pick<Batch, "rows" | "length">,
): Uint8Array {
  const chosen = new Uint8Array(rows * length);
  for (let b = 0; b < rows; b++) for (let i = 0; i < counts[b]!; i++) chosen[b * length + index[b * width + i]!] = 1;
  return chosen;
}
