// The spec of attention: chooses the kernel by tunings, and tiles by the widths of heads and the possible numbers of
// rows.
import { packedAxis } from "../../ir/typing.js";
import { DEFAULT_LIMITS } from "../../../runtime/program/target.js";
import { addSizes, applySize, type Size } from "../../../ground/size/size.js";
import {
  exactAttention,
  forNarrow,
  PORTABLE_ATTENTION,
  sharedAttention,
  WIDE_LEAST,
  WIDE_TILE,
  type ExactAttention,
  type SharedAttention,
  type SubgroupAttention,
  type WideAttention,
} from "../tunings/attention.js";
import type { QueryAttention } from "../tunings/attention-query.js";
import {
  attentionBytes,
  columnsOf,
  holdsBlock,
  holdsQueries,
  tilingsOf,
  type MatrixTiling,
} from "../tunings/attention-matrix.js";
import { halves } from "../codecs/f16.js";
import type { Step } from "../plan/plan.js";
import {
  declarePart,
  declareWhole,
  keyPartsOf,
  partBytes,
  queryKernel,
  sumKeyParts,
  type KeyParts,
} from "./attention-query.js";
import {
  accessOperands,
  bindOperands,
  bindPagedRows,
  bindRowInputs,
  bindRowsTable,
  declareWeights,
  operandsOf,
  readsVectors,
  rowsTable,
  type AttentionOperands,
} from "./attention-operands.js";
import { IN_HALVES, IN_VECTORS, declareSight } from "./attention-texts.js";
import { standingIn, whereRows } from "./cases.js";
import {
  input,
  KernelBuilder,
  result,
  scratch,
  typeAt,
  work,
  type Operand,
  type Spec,
  type KernelContext,
  type Work,
} from "./spec.js";

const attention: Spec<"attention"> = (context) =>
  context.inputs.length > WEIGHTS
    ? withWeights(context, null)
    : attentionWork(context, { bindRows: bindRowInputs, declareKeep: keepNothing, divides: true });

/** Attention whose keys and values lie where a table says. */
const pagedAttention: Spec<"paged_attention"> = (context) =>
  attentionWork(context, {
    bindRows: bindPagedRows,
    declareKeep: keepNothing,
    divides: true,
    keyRow: "poolRow(row)",
  });

/** Attention that also stores the values saved for its gradient. */
const attentionKept: Spec<"attention_kept"> = (context) => {
  const keep = "fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }";
  const declareKeep: Declare = (kernel) => void kernel.write("lse", "f32", result(1)).function(keep);
  if (context.inputs.length > WEIGHTS) return withWeights(context, declareKeep);
  const table = rowsTable(context, scratch());
  const { steps } = attentionWork(context, { bindRows: (kernel) => bindRowsTable(kernel, scratch()), declareKeep });
  return work([table.step, ...steps], [table.bytes]);
};

/** The place of the weights of keys among the inputs. */
const WEIGHTS = 7;

/** Attention whose keys weigh more or less. */
function withWeights(context: KernelContext<"attention" | "attention_kept">, declareKeep: Declare | null): Work {
  const table = rowsTable(context, scratch(), { weights: WEIGHTS });
  const { steps } = attentionWork(context, {
    bindRows: (kernel) => {
      bindRowsTable(kernel, scratch());
      declareWeights(kernel, "weightAt");
    },
    declareKeep: declareKeep ?? keepNothing,
  });
  return work([table.step, ...steps], [table.bytes]);
}

type Declare = (kernel: KernelBuilder) => void;

const keepNothing: Declare = (kernel) => void kernel.function("fn keep(head: u32, row: u32, lse: f32) {}");

/**
 * A kernel for one query at a time avoids compiling the tiled kernel, which takes six times as long or more. Measured
 * on Mesa 25.0.7, heads of 32 columns: 0.3 s of processor time for one row, which is half as much again since keys are
 * read two at a time; 2.4 and 3.7 for tiles of 2 and of 16.
 */
const ONE_ROW = { kind: "spared", each: 3e7, total: 2.5e8 } as const;

interface Bound {
  readonly bindRows: Declare;
  readonly declareKeep: Declare;
  /** Whether the keys of few queries may be divided among workgroups, which takes the first scratch buffer. */
  readonly divides?: boolean;
  /** The row of k and v for `row` of the keys. */
  readonly keyRow?: string;
}

function attentionWork(
  context: KernelContext<"attention" | "attention_kept" | "paged_attention">,
  { bindRows, declareKeep, divides = false, keyRow = "row" }: Bound,
): Work {
  const { attrs, extents } = context;
  const operands = operandsOf(context);
  const { heads, shared, q, v } = operands;
  const groupSize = heads / shared;
  const rows = q.type.shape[1]!;
  const most = extents.most(packedAxis(rows)!);
  const make = (file: string, leaves: Operand | null = null): KernelBuilder => {
    const kernel = new KernelBuilder(file, extents);
    bindOperands(kernel, operands, bindRows, leaves);
    return kernel;
  };
  const dispatched = ({ kernel, tile, alone, anyWidth = true, parts = null }: Tiled): Step<Operand> => {
    if (!parts) declareKeep(kernel);
    kernel.count("sharedHeads", shared).count("groupSize", groupSize).count("batch", extents.batch);
    if (anyWidth) kernel.count("quarters", quartersOf(q.width)).count("quartersV", quartersOf(v.width));
    kernel.value("scale", attrs.scale, "f32");
    accessOperands(kernel, operands, extents, keyRow, !parts);
    declareSight(kernel, attrs);
    if (alone) return kernel.dispatch(extents.times(extents.times(heads, rows), parts?.count ?? 1));
    // Each sequence may leave a tile half filled.
    const tiles = addSizes(extents.ceilDivide(extents.times(groupSize, rows), tile), extents.batch);
    return kernel.dispatch(extents.times(shared, tiles));
  };
  const queries = most === null ? Infinity : most * groupSize;
  const weighted = context.inputs.length > WEIGHTS;
  const tuning = context.tunings.attention;
  const few = weighted ? undefined : tuning.few;
  const [quarters, quartersV] = [quartersOf(q.width), quartersOf(v.width)];
  const alone = (query: QueryAttention): Step<Operand> => {
    const kernel = queryKernel(query, quarters, quartersV, make);
    declareWhole(kernel);
    return dispatched({ kernel, tile: 1, alone: true, anyWidth: false });
  };
  /** The work for few queries, at most `room` in a run. */
  const ofFew = (query: QueryAttention, room: Size): Work => {
    const parts = divides
      ? keyPartsOf(query, typeAt(context.inputs, POSITIONS_K).shape[0]!, rows, attrs, extents)
      : null;
    if (!parts) return work([alone(query)]);
    const kernel = queryKernel(query, quarters, quartersV, (file) => make(file, scratch()));
    declarePart(kernel, parts);
    const inParts = [
      dispatched({ kernel, tile: 1, alone: true, anyWidth: false, parts }),
      sumKeyParts(parts, operands, quartersV, extents, { parts: scratch(), starts: input(STARTS_Q) }),
    ].map((step) => whereRows(extents, step, parts.keys, parts.whole, null));
    const undivided = whereRows(extents, alone(query), parts.keys, 0, parts.whole);
    return work([undivided, ...inParts], [partBytes(parts, operands, quartersV, room, extents)]);
  };
  if (few !== undefined && most !== null && most <= few.most) return ofFew(few, rows);
  const rounds = !weighted && roundsOperands(context, operands);
  const onUnits = tuning.kind === "matrix" && rounds ? byUnits(tuning, operands, queries, make) : null;
  const all = (onUnits ? [onUnits] : tiled(exactAttention(tuning), operands, queries, weighted, make)).map(dispatched);
  const steps = all.map((step, i) => (i < all.length - 1 ? standingIn(step, 1, ONE_ROW) : step));
  // Only the host chooses by rows.
  if (few === undefined || extents.deviceSize(rows) !== null) return work(steps);
  const many = steps.map((step) => whereRows(extents, step, rows, few.most, null));
  const forFew = ofFew(few, applySize("min", [rows, few.most]));
  const fewSteps = forFew.steps.map((step) => whereRows(extents, step, rows, 0, few.most));
  return work([...fewSteps, ...many], forFew.scratch);
}

/** The places of the starts of queries and of the positions of keys, or the table that has these, among the inputs. */
const STARTS_Q = 3;
const POSITIONS_K = 6;

/** Number of vec4 columns. */
const quartersOf = (width: number): number => Math.ceil(width / 4);

interface Tiled {
  readonly kernel: KernelBuilder;
  /** Queries. */
  readonly tile: number;
  /** Whether a workgroup computes a single query. */
  readonly alone?: boolean;
  /** Whether the widths of heads are uniforms. */
  readonly anyWidth?: boolean;
  /** The parts of the keys, if a workgroup takes one part. */
  readonly parts?: KeyParts | null;
}
type Make = (file: string) => KernelBuilder;

/** The kernel with its tile's constants, preceded by its stand-in, if any; `most`: the most queries of a sequence. */
function tiled(
  tuning: ExactAttention,
  operands: AttentionOperands,
  most: number,
  weighted: boolean,
  make: Make,
): readonly Tiled[] {
  const [quarters, quartersV] = [quartersOf(operands.q.width), quartersOf(operands.v.width)];
  if (weighted) {
    return [byWorkgroup("attention_weighted", sharedAttention(tuning), quarters, quartersV, most, make)];
  }
  if (tuning.kind === "wide") return [bySlices(tuning, quarters, quartersV, most, make)];
  if (tuning.kind === "workgroup") return [byWorkgroup("attention", tuning, quarters, quartersV, most, make)];
  const fits = readsVectors(operands) && Math.max(quarters, quartersV) <= MOST_VECTORS * tuning.width;
  return fits
    ? bySubgroup(tuning, quarters, quartersV, most, make)
    : [byWorkgroup("attention", PORTABLE_ATTENTION, quarters, quartersV, most, make)];
}

/** Whether matrix units may compute attention: if its operands may be rounded to f16, or are f16 in memory. */
export const roundsOperands = (
  { stored }: Pick<KernelContext<"pair_attention">, "stored">,
  { q, k, v }: AttentionOperands,
): boolean => stored.rounds || [q, k, v].every(({ codec }) => codec.encoding === "f16");

/** On matrix units, with as much of a tile as has room; null where none has, or there are not enough queries. */
export function byUnits(
  tuning: MatrixTiling,
  { q, v }: AttentionOperands,
  most: number,
  make: Make,
  file = "attention_matrix",
): Tiled | null {
  const [columns, values] = [columnsOf(tuning, q.width), columnsOf(tuning, v.width)];
  const tilings = tilingsOf(tuning).filter((t) => attentionBytes(t, q.width, v.width) <= t.bytes);
  // Spilled registers cost more than smaller blocks; if every tiling spills, the largest blocks are fastest.
  const inRegisters = tilings.filter((t) => holdsBlock(t, columns, values));
  const candidates = inRegisters.length > 0 ? inRegisters : tilings;
  // A tile of no more than half its queries would have half its subgroups idle.
  const tiling = candidates.find((t) => t.m * t.subgroups < 2 * most) ?? candidates.at(-1);
  if (!tiling || most < tiling.m || !holdsQueries(tiling, columns, values)) return null;
  const kernel = make(file).constant("PADDED", columns > q.width ? 1 : 0);
  declareTiling(kernel, tiling, columns, values, tiling.vectors);
  kernel.function(tiling.vectors ? IN_VECTORS : IN_HALVES);
  return { kernel, tile: tiling.m * tiling.subgroups };
}

/**
 * Declares a tiling for kernels of attention on matrix units. `columns`, `values`: columns of padded heads. `vectors`:
 * whether their tiles have vectors of halves.
 */
export function declareTiling(
  kernel: KernelBuilder,
  { m, n, k, width, subgroups, keys }: MatrixTiling,
  columns: number,
  values: number,
  vectors: boolean,
): void {
  kernel.matrices(width, { m, n, k, input: "f16", output: "f32" }, vectors);
  const constants = { WIDTH: width, M: m, N: n, K: k, SUBGROUPS: subgroups, BLOCK: keys };
  for (const [name, value] of Object.entries({ ...constants, COLUMNS: columns, COLUMNS_V: values }))
    kernel.constant(name, value);
  kernel.function(halves("halves", "vec4f", "vec4<f16>", vectors));
}

/** Columns of a head, in fours, for which lanes have registers and any device's workgroups memory. */
const MOST_WIDE = 16;

/** Fewer queries than half a tile leave lanes idle, and take the kernel by workgroups. */
function bySlices(tuning: WideAttention, quarters: number, quartersV: number, most: number, make: Make): Tiled {
  if (Math.max(quarters, quartersV) > MOST_WIDE || 2 * most < WIDE_TILE)
    return byWorkgroup("attention", sharedAttention(tuning), quarters, quartersV, most, make);
  const kernel = make("attention_wide")
    .holdsMany()
    .subgroupsFrom(WIDE_LEAST)
    .constant("LANES", WIDE_TILE * tuning.slices)
    .constant("KEYS", tuning.keys)
    .constant("NARROW", forNarrow(tuning) ? 1 : 0)
    .constant("QUARTERS", quarters)
    .constant("QUARTERS_V", quartersV);
  return { kernel, tile: WIDE_TILE, anyWidth: false };
}

/** Invocations of a workgroup: for widths up to 256 a lane owns at most two vectors of columns. */
export const LANES = [8, 16, 32] as const;

function byWorkgroup(
  file: "attention" | "attention_weighted",
  { lanes: least, tile: wanted }: SharedAttention,
  quarters: number,
  quartersV: number,
  most: number,
  make: Make,
): Tiled {
  const lanes = LANES.find((n) => n >= least && quartersV <= 2 * n) ?? LANES.at(-1)!;
  // With weights also whether a key was seen, by each lane and by all.
  const more = file === "attention" ? 0 : 4 * lanes + 4;
  const tile = tileWithin(wanted, most, 16 * quarters + 20 * lanes + 4 + more);
  const kernel = make(file)
    .holdsMany()
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters);
  return { kernel: kernel.constant("PARTS", Math.ceil(quartersV / lanes)), tile };
}

/** The most vectors of columns per lane, of a row and of half a tile: as many as Mesa unrolls. */
export const MOST_VECTORS = 16;

function bySubgroup(
  { width, tile: wanted }: SubgroupAttention,
  quarters: number,
  quartersV: number,
  most: number,
  make: Make,
): readonly Tiled[] {
  const [chunks, parts] = [Math.ceil(quarters / width), Math.ceil(quartersV / width)];
  const ofWidth = (file: string): KernelBuilder =>
    make(file).subgroups(width).constant("WIDTH", width).constant("CHUNKS", chunks).constant("PARTS", parts);
  const row: Tiled = { kernel: ofWidth("attention_row"), tile: 1, alone: true };
  if (most === 1) return [row];
  const half = halfTile(wanted, most, Math.max(chunks, parts));
  return [row, { kernel: ofWidth("attention_subgroup").constant("HALF", half), tile: 2 * half }];
}

/** Half a tile of at most `wanted` rows, so that a lane's vectors of columns, `each` for a row, are unrolled. */
export function halfTile(wanted: number, most: number, each: number): number {
  let half = Math.max(1, Math.min(wanted, powerFrom(most)) / 2);
  while (half > 1 && half * each > MOST_VECTORS) half /= 2;
  return half;
}

/** A tile of at most `wanted` rows whose workgroup memory, `each` bytes for a row, any device has. */
export function tileWithin(wanted: number, most: number, each: number): number {
  let tile = Math.min(wanted, powerFrom(most));
  while (tile > 1 && tile * each > DEFAULT_LIMITS.workgroupStorageBytes) tile /= 2;
  return tile;
}

/** The smallest power of two that is at least `n`. */
const powerFrom = (n: number): number => (n === Infinity ? n : 2 ** Math.ceil(Math.log2(Math.max(1, n))));

export const attentionSpecs = { attention, attention_kept: attentionKept, paged_attention: pagedAttention };
