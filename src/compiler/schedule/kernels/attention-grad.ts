// The spec of attention gradients: one kernel, dispatched once for the rows of queries and once for the rows of keys.
import { invariant } from "../../../ground/base/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { addSizes } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { words } from "../codecs/words.js";
import type { Step } from "../plan/plan.js";
import { declareTiling, halfTile, LANES, MOST_VECTORS, tileWithin } from "./attention.js";
import { exactAttention, sharedAttention, type ExactAttention } from "../tunings/attention.js";
import {
  columnsOf,
  fitsRegisters,
  gradientBytes,
  holdsOwn,
  tilingsOf,
  type MatrixTiling,
} from "../tunings/attention-matrix.js";
import { GRADIENT_IN_HALVES, GRADIENT_IN_VECTORS, declareSeeing, declareSight } from "./attention-texts.js";
import {
  bindRowsTable,
  declareWeights,
  elementOf,
  extent,
  isWideResult,
  reader,
  rowsOf,
  rowsTable,
  writer,
  type HeadRows,
} from "./attention-operands.js";
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
} from "./spec.js";

type Context = KernelContext<"attention_grad">;

/** The place of the weights of keys among the inputs. */
const WEIGHTS = 10;

const attentionGrad: Spec<"attention_grad"> = (context) => {
  const { inputs, extents } = context;
  if (inputs.length > WEIGHTS) {
    // As many buffers as can be bound hold the rest, so statistics and weights lie in the table of rows.
    const table = rowsTable(context, scratch(0), { weights: WEIGHTS, statistics: [7, 8] });
    return work([table.step, sideStep(context, "queries"), sideStep(context, "keys")], [table.bytes]);
  }
  const rows = rowsTable(context, scratch(0));
  const steps = [rows.step, statsTable(context, scratch(1)), sideStep(context, "queries"), sideStep(context, "keys")];
  return work(steps, [rows.bytes, extents.times(2, extents.bytes(typeAt(inputs, 7)))]);
};

/** The step that packs the per-query statistics that both dispatches read into one buffer, as no more can be bound. */
function statsTable({ inputs, extents, tunings }: Context, to: Operand): Step<Operand> {
  const kernel = new KernelBuilder("pointwise", extents, "attention_stats")
    .read("lse", "f32", input(7))
    .read("delta", "f32", input(8));
  const count = extents.product(typeAt(inputs, 7).shape);
  kernel.write("y", "f32", to).count("queries", count).function("fn count() -> u32 { return 2u * queries(); }");
  kernel.function(
    "fn value(i: u32) -> f32 {\n  if (i < queries()) { return lse[i]; }\n  return delta[i - queries()];\n}",
  );
  return kernel.spread(extents.times(2, count), tunings.elements);
}

/** The side whose rows a tile holds; the kernel loops over the rows of the other side. */
type Side = "queries" | "keys";

function sideStep(context: Context, side: Side): Step<Operand> {
  const { inputs, results, extents, attrs, views, resultViews, tunings, stored } = context;
  const operand = (i: number): HeadRows => rowsOf(typeAt(inputs, i), views[i] ?? null, words, extents);
  const [q, k, v, dy] = [operand(0), operand(1), operand(2), operand(9)];
  const gradient = (i: number): HeadRows => rowsOf(typeAt(results, i), resultViews[i] ?? null, words, extents);
  const [heads, shared] = [q.type.shape[0], k.type.shape[0]];
  invariant(typeof heads === "number" && typeof shared === "number", "the heads are known");
  const groupSize = heads / shared;
  const ofQueries = side === "queries";
  const ownRows = (ofQueries ? q : k).type.shape[1]!;
  const ownGroup = ofQueries ? groupSize : 1;
  const most = extents.most(packedAxis(ownRows)!);
  const weighted = inputs.length > WEIGHTS;
  const rows = most === null ? Infinity : most * ownGroup;
  const { attention } = tunings;
  const onUnits =
    attention.kind === "matrix" && stored.rounds && !weighted
      ? byUnits(attention, q, v, { most: rows, both: !ofQueries }, extents)
      : null;
  const { kernel, tile } =
    onUnits ??
    tiled(exactAttention(attention), Math.ceil(q.width / 4), Math.ceil(v.width / 4), rows, weighted, extents);

  for (const [name, rows, index] of [
    ["q", q, 0],
    ["k", k, 1],
    ["v", v, 2],
    ["dy", dy, 9],
  ] as const)
    kernel.read(name, elementOf(rows), input(index));
  bindRowsTable(kernel, scratch(0));
  if (!weighted) kernel.read("stats", "f32", scratch(1));
  kernel
    .count("sharedHeads", shared)
    .count("groupSize", groupSize)
    .count("batch", extents.batch)
    .count("quarters", Math.ceil(q.width / 4));
  kernel
    .count("quartersV", Math.ceil(v.width / 4))
    .value("scale", attrs.scale, "f32")
    .constant("BOTH", ofQueries ? 0 : 1);
  const [axisQ, axisK] = [packedAxis(q.type.shape[1]!), packedAxis(k.type.shape[1]!)];
  const declare = (name: string, size: Parameters<typeof extent>[3]): void =>
    extent(kernel, extents, name, size, axisQ, axisK);
  const roles = ofQueries
    ? ([
        ["a", "q", q],
        ["b", "dy", dy],
        ["x", "k", k],
        ["y", "v", v],
      ] as const)
    : ([
        ["a", "k", k],
        ["b", "v", v],
        ["x", "q", q],
        ["y", "dy", dy],
      ] as const);
  for (const [role, buffer, rows] of roles) reader(kernel, role, buffer, rows, declare);
  for (const [letter, index] of ofQueries
    ? ([["A", 0]] as const)
    : ([
        ["A", 1],
        ["B", 2],
      ] as const)) {
    const to = gradient(index);
    kernel.write(`d${letter}`, isWideResult(to) ? "vec4f" : "f32", result(index));
    writer(kernel, `write${letter}`, `d${letter}`, to, `place${letter}`, declare);
  }
  if (ofQueries) kernel.function("fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}");
  for (const f of sideNames(ofQueries, statisticsText(weighted))) kernel.function(f);
  if (weighted) declareWeighing(kernel, ofQueries);
  if (ofQueries) declareSight(kernel, attrs);
  else declareSeeing(kernel, attrs);

  // Each sequence may end with a partly filled tile.
  const tiles = addSizes(extents.ceilDivide(extents.times(ownGroup, ownRows), tile), extents.batch);
  return kernel.dispatch(extents.times(shared, tiles));
}

/** The weights of keys on whichever side they are, and where their gradient goes. */
function declareWeighing(kernel: KernelBuilder, ofQueries: boolean): void {
  declareWeights(kernel, "keyWeight");
  const [one, key] = ["{ return 1.0; }", "{ return keyWeight(row); }"];
  kernel
    .function(`fn ownWeight(row: u32) -> f32 ${ofQueries ? one : key}`)
    .function(`fn otherWeight(row: u32) -> f32 ${ofQueries ? key : one}`);
  if (ofQueries) kernel.function("fn writeWeight(head: u32, row: u32, x: f32) {}");
  else
    kernel
      .write("dw", "f32", result(3))
      .function("fn writeWeight(head: u32, row: u32, x: f32) { dw[head * startK(batch()) + row] = x; }");
}

/** lse and delta of a head and query, as WGSL. */
function statisticsText(weighted: boolean): string {
  const inTable = `{
  let queries = startQ(batch());
  let at = 2u * batch() + 2u + queries + 2u * startK(batch()) + head * queries + row;
  return vec2f(bitcast<f32>(rows[at]), bitcast<f32>(rows[at + sharedHeads() * groupSize() * queries]));
}`;
  const inBuffer = `{
  let queries = startQ(batch());
  let n = head * queries + row;
  return vec2f(stats[n], stats[sharedHeads() * groupSize() * queries + n]);
}`;
  return weighted ? inTable : inBuffer;
}

/** The kernel file's names for the two sides; `stats`: the body of the function of a query's statistics. */
export function sideNames(ofQueries: boolean, stats: string): readonly string[] {
  const [owned, other] = ofQueries ? ["Q", "K"] : ["K", "Q"];
  const none = "{ return vec2f(); }";
  return [
    `fn ownGroup() -> u32 { return ${ofQueries ? "groupSize()" : "1u"}; }`,
    `fn otherGroup() -> u32 { return ${ofQueries ? "1u" : "groupSize()"}; }`,
    `fn ownStart(b: u32) -> u32 { return start${owned}(b); }`,
    `fn otherStart(b: u32) -> u32 { return start${other}(b); }`,
    `fn ownPosition(row: u32) -> u32 { return position${owned}(row); }`,
    `fn otherPosition(row: u32) -> u32 { return position${other}(row); }`,
    `fn ownStats(head: u32, row: u32) -> vec2f ${ofQueries ? stats : none}`,
    `fn otherStats(head: u32, row: u32) -> vec2f ${ofQueries ? none : stats}`,
    `fn pairs(i: u32, j: u32) -> bool { return ${ofQueries ? "sees(i, j)" : "sees(j, i)"}; }`,
    `fn firstOf(i: u32) -> u32 { return ${ofQueries ? "firstSeen" : "firstSeeing"}(i); }`,
    `fn lastOf(i: u32) -> u32 { return ${ofQueries ? "lastSeen" : "lastSeeing"}(i); }`,
  ];
}

interface Tiled {
  readonly kernel: KernelBuilder;
  /** Rows. */
  readonly tile: number;
}

/**
 * On matrix units, with as much of a tile as has room; null where none has, or there are not enough rows. `most`: the
 * most rows of a sequence; `both`: whether the side is the keys, which have two gradients.
 */
function byUnits(
  tuning: MatrixTiling,
  q: HeadRows,
  v: HeadRows,
  { most, both }: { readonly most: number; readonly both: boolean },
  extents: Extents,
): Tiled | null {
  const [columns, values] = [columnsOf(tuning, q.width), columnsOf(tuning, v.width)];
  // Its own largest tile has four subgroups; with two gradients registers have room for half the rows of a block.
  const few = { ...tuning, subgroups: Math.min(tuning.subgroups, 4) };
  const tilings = tilingsOf(few).filter((t) => gradientBytes(t, q.width, v.width, both) <= t.bytes);
  const tiling = (both ? tilings.find((t) => 2 * t.keys === few.keys) : undefined) ?? tilings[0];
  if (!tiling || most < tiling.m || !fitsRegisters(tiling, columns + values)) return null;
  const kernel = new KernelBuilder("attention_matrix_grad", extents);
  declareTiling(kernel, tiling, columns, values, tiling.vectors);
  kernel.constant("HELD", holdsOwn(tiling, columns, values) ? 1 : 0);
  kernel.function(tiling.vectors ? GRADIENT_IN_VECTORS : GRADIENT_IN_HALVES);
  return { kernel, tile: tiling.m * tiling.subgroups };
}

/** The kernel with its tile's constants; `most`: the most rows of a sequence. */
function tiled(
  tuning: ExactAttention,
  quarters: number,
  quartersV: number,
  most: number,
  weighted: boolean,
  extents: Extents,
): Tiled {
  if (!weighted && tuning.kind === "subgroup" && Math.max(quarters, quartersV) <= MOST_VECTORS * tuning.width) {
    const [chunks, parts] = [Math.ceil(quarters / tuning.width), Math.ceil(quartersV / tuning.width)];
    const half = halfTile(tuning.tile, most, Math.max(chunks, parts));
    const kernel = new KernelBuilder("attention_grad_subgroup", extents)
      .subgroups(tuning.width)
      .constant("WIDTH", tuning.width)
      .constant("HALF", half);
    return { kernel: kernel.constant("CHUNKS", chunks).constant("PARTS", parts), tile: 2 * half };
  }
  const shared = sharedAttention(tuning);
  const lanes = LANES.find((n) => n >= shared.lanes && Math.max(quarters, quartersV) <= 2 * n) ?? LANES.at(-1)!;
  const tile = tileWithin(shared.tile, most, 16 * (quarters + quartersV + 2 * lanes) + (weighted ? 4 * lanes : 0));
  const kernel = new KernelBuilder(weighted ? "attention_weighted_grad" : "attention_grad", extents)
    .holdsMany()
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters);
  kernel
    .constant("STAGED_V", tile * quartersV)
    .constant("CHUNKS", Math.ceil(quarters / lanes))
    .constant("PARTS", Math.ceil(quartersV / lanes));
  return { kernel, tile };
}

export const attentionGradSpecs = { attention_grad: attentionGrad };
