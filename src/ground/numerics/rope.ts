// The angles of rotary embeddings, shared by the reference, the runtime (which writes the cosine tables) and the
// gradients.

/**
 * Angle per position of each pair (i, i + width/2), in radians: θ^(−2i/width) (RoFormer, Su et al. 2021, equation 15),
 * or the explicit frequencies of the table.
 */
export const ropeFrequencies = (table: {
  readonly width: number;
  readonly theta: number;
  readonly frequencies: readonly number[] | null;
}): readonly number[] =>
  table.frequencies ?? Array.from({ length: table.width / 2 }, (_, i) => table.theta ** ((-2 * i) / table.width));
