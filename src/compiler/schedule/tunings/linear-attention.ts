// How linear attention goes through the rows of a sequence: chunk by chunk on subgroups, or row by row.
import type { AttentionTuning } from "./attention.js";

export interface ChunkTuning {
  /** Invocations of a subgroup. */
  readonly width: number;
  /** Rows of a chunk, if a row has one decay or none. */
  readonly rows: number;
}

/** Rows of a tile, and of a chunk if each dimension has a decay. */
export const CHUNK_TILE = 16;
/** Rows of a chunk: the chunk of the papers. A lane of a subgroup holds four rows. */
const MOST_ROWS = 64;
/** The narrowest subgroup whose lanes hold a tile, and the widest that a tile's columns fill. */
const WIDTHS = { least: CHUNK_TILE / 4, most: 64 } as const;

const inWidth = (width: number): ChunkTuning | null =>
  width < WIDTHS.least || width > WIDTHS.most ? null : { width, rows: Math.min(4 * width, MOST_ROWS) };

/** By the kernels of attention, which say whether the device's subgroups have one width: null: row by row. */
export const CHUNKS: { readonly [K in AttentionTuning["kind"]]: (tuning: AttentionTuning) => ChunkTuning | null } = {
  workgroup: () => null,
  wide: () => null,
  subgroup: (tuning) => ("width" in tuning ? inWidth(tuning.width) : null),
  matrix: (tuning) => ("width" in tuning ? inWidth(tuning.width) : null),
};
