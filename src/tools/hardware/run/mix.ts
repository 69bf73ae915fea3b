// Counts of the instructions that ran, which are facts of code and sizes, and the cycles for which each pipe is busy.

export interface Mix {
  slots: number;
  /** Multiply-add instructions, and products on matrix units. */
  multiplyAdds: number;
  matrix: number;
  /** Floating-point operations of active lanes. */
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
  /** Cache lines of 128 bytes that accesses touched, and the fewest for the same bytes. */
  lines: number;
  leastLines: number;
  /** Passes through the banks of workgroup memory, and the fewest possible. */
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
