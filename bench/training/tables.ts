// What the peers compute once for all steps: angles and the mask of whole sequences.
import { rotary, triangle } from "../peers/blocks.js";
import type { TrainData } from "./protocol.js";

export interface HostTable {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export function hostTables({ T, dim, heads }: TrainData): {
  readonly cos: HostTable;
  readonly sin: HostTable;
  readonly mask: HostTable;
} {
  const width = dim / heads;
  const { cos, sin } = rotary(T, width);
  return {
    cos: { data: cos, shape: [T, width] },
    sin: { data: sin, shape: [T, width] },
    mask: { data: triangle(T), shape: [T, T] },
  };
}
