// Attention of few queries on GPUs, one workgroup for each query of each head: the kernel and how its lanes share keys.
import type { QueryAttention } from "../tunings/attention-query.js";
import type { KernelBuilder } from "./spec.js";

/** The most lanes that share a key: with heads of 128 columns each then has 16 bytes of it. */
const MOST_ACROSS = 32;
/** Loads of 16 bytes that a lane has in flight. */
const LOADS = 8;

/** The kernel with its constants, for heads of so many vectors of columns in q and in v. */
export function queryKernel(
  { lanes, least }: QueryAttention,
  quarters: number,
  quartersV: number,
  make: (file: string) => KernelBuilder,
): KernelBuilder {
  const declared = (kernel: KernelBuilder, across: number): KernelBuilder =>
    kernel
      .holdsMany()
      .constant("LANES", lanes)
      .constant("ACROSS", across)
      .constant("PARTS", Math.ceil(quartersV / across))
      .constant("QUARTERS", quarters)
      .constant("QUARTERS_V", quartersV);
  if (least === null) return declared(make("attention_query_shared"), acrossOf([quartersV], 4, MOST_ACROSS));
  const across = acrossOf([quarters, quartersV], 1, Math.min(least, MOST_ACROSS));
  const kernel = declared(make("attention_query").subgroupsFrom(least), across);
  const chunks = Math.ceil(quarters / across);
  const loads = chunks + Math.ceil(quartersV / across);
  return kernel.constant("CHUNKS", chunks).constant("KEYS", Math.max(1, Math.floor(LOADS / loads)));
}

/**
 * Lanes that share a row, a power of two: as many as there are where no more than a fifth of them has no columns, so
 * that neighbours read what lies side by side.
 */
function acrossOf(quarters: readonly number[], fewest: number, most: number): number {
  const columns = quarters.reduce((a, b) => a + b);
  let across = 2 ** Math.floor(Math.log2(most));
  const taken = (): number => quarters.reduce((n, q) => n + Math.ceil(q / across) * across, 0);
  while (across > fewest && taken() > 1.25 * columns) across /= 2;
  return across;
}
