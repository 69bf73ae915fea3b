// The angles of rotary positions, alike for the reference, the runtime that writes their tables, and gradients.

/**
 * Radians a position of each pair (i, i + width/2): θ^(−2i/width) (RoFormer, Su et al. 2021, equation 15), or as given.
 */
export const ropeFrequencies = (table: {
  readonly width: number;
  readonly theta: number;
  readonly frequencies: readonly number[] | null;
}): readonly number[] =>
  table.frequencies ?? Array.from({ length: table.width / 2 }, (_, i) => table.theta ** ((-2 * i) / table.width));
