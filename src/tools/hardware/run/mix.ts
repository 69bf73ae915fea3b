// What instructions that ran were made of: counts, which are facts of the code and of sizes, and the cycles that each
// pipe is busy with them.

export interface Mix {
  slots: number;
  /** Instructions that multiply and add, and products of matrix units. */
  multiplyAdds: number;
  matrix: number;
  /** Of lanes that take part. */
  flops: number;
  loads: number;
  stores: number;
  scalarLoads: number;
  local: number;
  localBytes: number;
  scratch: number;
  waits: number;
  barriers: number;
  /** Loads by their width in bits. */
  readonly widths: Map<number, number>;
  readonly localWidths: Map<number, number>;
  /** Lines of 128 bytes that accesses touched, and as few as their bytes could have. */
  lines: number;
  leastLines: number;
  /** Passes through the banks of workgroup memory, and as few as there could have been. */
  localPasses: number;
  leastPasses: number;
  vectorCycles: number;
  usefulCycles: number;
  scalarCycles: number;
  localCycles: number;
  vectorMemoryCycles: number;
}

export const emptyMix = (): Mix => ({
  slots: 0,
  multiplyAdds: 0,
  matrix: 0,
  flops: 0,
  loads: 0,
  stores: 0,
  scalarLoads: 0,
  local: 0,
  localBytes: 0,
  scratch: 0,
  waits: 0,
  barriers: 0,
  widths: new Map(),
  localWidths: new Map(),
  lines: 0,
  leastLines: 0,
  localPasses: 0,
  leastPasses: 0,
  vectorCycles: 0,
  usefulCycles: 0,
  scalarCycles: 0,
  localCycles: 0,
  vectorMemoryCycles: 0,
});
