// Attention of few queries on GPUs, one workgroup for each query of each head, or for each part of its keys: the
// kernels, how lanes share keys, and how many keys are divided among workgroups.
import { packedAxis } from "../../ir/typing.js";
import { applySize, axisSize, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { WHOLE_PARTS, type QueryAttention } from "../tunings/attention-query.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import { extent, writeResult, type AttentionOperands } from "./attention-operands.js";
import { KernelBuilder, result, type Operand } from "./spec.js";
import type { Step } from "../plan/plan.js";

/** The most lanes that share a key: with heads of 128 columns each then has 16 bytes of it. */
const MOST_ACROSS = 32;
/** Loads of 16 bytes that a lane has in flight. */
const LOADS = 8;

/**
 * The kernel with its constants, for heads with these numbers of column vectors in q and in v. `family`: how the names
 * of both files begin.
 */
export function queryKernel(
  { lanes, least }: QueryAttention,
  quarters: number,
  quartersV: number,
  make: (file: string) => KernelBuilder,
  family = "attention_",
): KernelBuilder {
  const declared = (kernel: KernelBuilder, across: number): KernelBuilder =>
    kernel
      .holdsMany()
      .constant("LANES", lanes)
      .constant("ACROSS", across)
      .constant("PARTS", Math.ceil(quartersV / across))
      .constant("QUARTERS", quarters)
      .constant("QUARTERS_V", quartersV);
  if (least === null) return declared(make(`${family}query_shared`), acrossOf([quartersV], 4, MOST_ACROSS));
  const across = acrossOf([quarters, quartersV], 1, Math.min(least, MOST_ACROSS));
  const kernel = declared(make(`${family}query`).subgroupsFrom(least), across);
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

/** How the keys of queries are divided where a run has room for many. */
export interface KeyParts {
  /** Keys of a part. */
  readonly part: number;
  /** The most parts of a query in a run. */
  readonly count: Size;
  /** The most keys of a sequence in a run; parts are for runs with more than `whole` alone. */
  readonly keys: Size;
  readonly whole: number;
}

/**
 * How keys may be divided; null where a query never sees more than one workgroup takes. `keys`: the rows of keys.
 * The keys that a query sees determine how they are divided, so the result has the same bits for any room.
 */
export function keyPartsOf(
  { part, most }: QueryAttention,
  keys: Size,
  queries: Size,
  { causal, window }: OpAttrs["attention"],
  extents: Extents,
): KeyParts | null {
  const axis = packedAxis(keys);
  if (part === null || axis === null || extents.onDevice(axis)) return null;
  const wholeKeys = WHOLE_PARTS * part;
  const seen = window === 0 ? Infinity : causal ? window : 2 * window - 1;
  const mostQueries = packedAxis(queries) === axis ? most : Infinity;
  if (Math.min(seen, mostQueries, extents.most(axis) ?? Infinity) <= wholeKeys) return null;
  const room = axisSize(axis);
  const visible = seen === Infinity ? room : applySize("min", [room, seen]);
  return { part, count: extents.ceilDivide(visible, part), keys: room, whole: wholeKeys };
}

/** Declares that a workgroup takes all keys of a query, and stores the result. */
export function declareWhole(kernel: KernelBuilder): void {
  kernel
    .function("fn partCount() -> u32 { return 1u; }")
    .function("fn keysOf(part: u32, begin: u32, end: u32) -> vec2u { return vec2u(begin, end); }")
    .function(`fn finish(head: u32, place: u32, c: u32, x: vec4f, most: f32, total: f32) {
  if (c == 0u) { keep(head, place, most + log(total)); }
  write(head, place, c, x * (1.0 / total));
}`);
}

/** Declares that a workgroup takes a part of the keys of a query, and leaves its sums in y, which is scratch memory. */
export function declarePart(kernel: KernelBuilder, { part, whole, count }: KeyParts): void {
  kernel.constant("PART", part).constant("WHOLE", whole).count("partCount", count)
    .function(`fn keysOf(part: u32, begin: u32, end: u32) -> vec2u {
  let count = end - begin;
  if (count <= WHOLE) { return vec2u(begin, select(begin, end, part == 0u)); }
  let first = begin + min(part * PART, count);
  return vec2u(first, select(min(first + PART, end), end, part + 1u == partCount()));
}`).function(`fn finish(head: u32, place: u32, c: u32, x: vec4f, most: f32, total: f32) {
  let at = (place * groupSize() * sharedHeads() + head) * (QUARTERS_V + 1u);
  y[at + c] = x;
  if (c == 0u) { y[at + QUARTERS_V] = vec4f(most, total, 0.0, 0.0); }
}`);
}

/** Bytes of the results that the parts of the queries store. */
export const partBytes = (
  { count }: KeyParts,
  { heads }: AttentionOperands,
  quartersV: number,
  queries: Size,
  extents: Extents,
): Size => extents.times(extents.times(16 * heads * (quartersV + 1), count), queries);

/** The step that adds the parts of queries up. `starts`: the starts of queries. */
export function sumKeyParts(
  { count }: KeyParts,
  operands: AttentionOperands,
  quartersV: number,
  extents: Extents,
  { parts, starts }: { readonly parts: Operand; readonly starts: Operand },
): Step<Operand> {
  const { heads, q } = operands;
  const rows = q.type.shape[1]!;
  const kernel = new KernelBuilder("attention_parts", extents)
    .read("parts", "vec4f", parts)
    .read("startsQ", "u32", starts)
    .function("fn startQ(b: u32) -> u32 { return startsQ[b]; }");
  writeResult(kernel, operands, result(), (name, size) => extent(kernel, extents, name, size, packedAxis(rows), null));
  kernel
    .constant("QUARTERS_V", quartersV)
    .count("batch", extents.batch)
    .count("heads", heads)
    .count("partCount", count);
  return kernel.over(extents.times(heads * quartersV, rows));
}
