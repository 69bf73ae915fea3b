// Tunings of attention for few queries on GPUs, as in generation: how many lanes a query has, and how they share keys.
import { among, object, orNull, whole, type Read } from "../../../runtime/program/reader.js";
import type { DeviceClass, Target } from "../../../runtime/program/target.js";

export interface QueryAttention {
  /** Invocations of a workgroup. A workgroup computes one query of one head. */
  readonly lanes: number;
  /**
   * `attention_query.wgsl`: lanes that share a key are in one subgroup, whatever its width; every subgroup has at least
   * so many. Null: `attention_query_shared.wgsl`, in which they meet in workgroup memory.
   */
  readonly least: number | null;
  /** The most queries: of a sequence where that is known, else of all sequences together. */
  readonly most: number;
  /** Keys that a workgroup takes of a query that sees more than `WHOLE_PARTS` times as many; null: it takes all. */
  readonly part: number | null;
}

/** As many parts are one workgroup's work: to divide fewer keys saves little more than a dispatch costs. */
export const WHOLE_PARTS = 4;

const LANES = [64, 128, 256, 512, 1024] as const;
const TRIED = [128, 256, 512] as const;
/** Widths of the narrowest subgroups. Fewer than four lanes share no key. */
const LEAST = { from: 4, to: 128 } as const;

/** More queries are enough to fill tiles. Not measured. */
const FEW = 8;
/**
 * Lanes that have eight loads of 16 bytes in flight. Estimated from the machine code of Mesa's compiler for RDNA 3, not
 * measured: 512 keys of a head of 64 columns take 2 µs, where a tile of one query takes 72.
 */
const WANTED = 512;
/**
 * Estimated from the machine code of Mesa's compiler for RDNA 3, not measured: 32,768 keys of a head of 64 columns are
 * 101 µs of one workgroup; in parts of 1024 they are 5, and 4 to add these up. By parts of 512 the sum takes twice as
 * long, and nothing else less.
 */
const PART = 1024;
const PARTS = { from: 256, to: 65_536 } as const;

/** Classes of devices that use these kernels by default. On software devices, such wide workgroups are slow. */
const ON_GPUS: { readonly [C in DeviceClass]: boolean } = {
  portable: true,
  "mesa-software": false,
  swiftshader: false,
  integrated: true,
  discrete: true,
};

/** The narrowest subgroups that lanes can share a key in; null where there are none. */
const leastOf = ({ subgroups }: Target): number | null =>
  subgroups !== null && subgroups[0] >= LEAST.from ? subgroups[0] : null;

/** Bytes of workgroup memory, at most. */
const bytesOf = ({ lanes, least }: Pick<QueryAttention, "lanes" | "least">): number =>
  (least === null ? 18 : 24) * lanes + 8;

const fits = (tuning: Pick<QueryAttention, "lanes" | "least">, { limits }: Target): boolean =>
  tuning.lanes <= limits.invocationsPerWorkgroup && bytesOf(tuning) <= limits.workgroupStorageBytes;

/** The default of a target; undefined for software devices. */
export function queryDefault(target: Target): QueryAttention | undefined {
  if (!ON_GPUS[target.device]) return undefined;
  const least = leastOf(target);
  const lanes = LANES.findLast((n) => n <= WANTED && fits({ lanes: n, least }, target));
  return lanes === undefined ? undefined : { lanes, least, most: FEW, part: PART };
}

export function queryCandidates(target: Target): readonly QueryAttention[] {
  const least = leastOf(target);
  return (least === null ? [null] : [null, least]).flatMap((by) =>
    TRIED.filter((lanes) => lanes <= target.limits.invocationsPerWorkgroup).flatMap((lanes) =>
      [null, PART].map((part): QueryAttention => ({ lanes, least: by, most: FEW, part })),
    ),
  );
}

export const readQueryAttention: Read<QueryAttention> = object({
  lanes: among(LANES),
  least: orNull(whole(LEAST.from, LEAST.to)),
  most: whole(1, 65_536),
  part: orNull(whole(PARTS.from, PARTS.to)),
});

/** A fault of tunings that a target cannot run, as a clause; null if it can run them. */
export function queryMisfit(tuning: QueryAttention, target: Target): string | null {
  const { lanes, least } = tuning;
  if (lanes > target.limits.invocationsPerWorkgroup) return `attention of few queries needs workgroups of ${lanes}`;
  if (!fits(tuning, target)) return `attention of few queries needs workgroups of ${bytesOf(tuning)} bytes of memory`;
  return least === null || (target.subgroups !== null && target.subgroups[0] >= least)
    ? null
    : `attention of few queries needs subgroups of at least ${least}, which the target does not have`;
}

/** `query 256`, `query 256 by subgroups in parts of 1024` */
export const queryName = ({ lanes, least, part }: QueryAttention): string =>
  `query ${lanes}${least === null ? "" : " by subgroups"}${part === null ? "" : ` in parts of ${part}`}`;
