// The spec of attention that reads pairs of tokens.
import { packedAxis } from "../../ir/typing.js";
import { addSizes } from "../../../ground/size/size.js";
import { exactAttention, sharedAttention } from "../tunings/attention.js";
import { halfTile, LANES, MOST_VECTORS, tileWithin } from "./attention.js";
import {
  accessOperands,
  bindOperands,
  operandsOf,
  readsVectors,
  type AttentionOperands,
} from "./attention-operands.js";
import { declareSight } from "./attention-texts.js";
import { boundedOperands, declareMayPair } from "./pair-intervals.js";
import { PairRows } from "./pair-rows.js";
import { declarePair } from "./pair-texts.js";
import { KernelBuilder, result, scratch, work, type KernelContext, type Spec } from "./spec.js";

const pairAttention: Spec<"pair_attention"> = (context) => {
  const { attrs, extents } = context;
  const { pair } = attrs;
  const operands = operandsOf(context);
  const { heads, shared, q, v } = operands;
  const groupSize = heads / shared;
  const bounded = boundedOperands(context);
  const rows = new PairRows(context, bounded, null);
  const most = extents.most(packedAxis(q.type.shape[1]!)!);
  const [quarters, quartersV] = [q, v].map(({ width }) => Math.ceil(width / 4)) as [number, number];
  const queries = most === null ? Infinity : most * groupSize;
  const { kernel, tile, weighs } = tiled(context, operands, quarters, quartersV, queries);
  bindOperands(kernel, operands, (k) => {
    k.count("batch", extents.batch);
    rows.declare(k, scratch());
  });
  kernel.write("lse", "f32", result(1));
  kernel.function("fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }");
  kernel
    .count("sharedHeads", shared)
    .count("groupSize", groupSize)
    .count("quarters", quarters)
    .count("quartersV", quartersV)
    .value("scale", attrs.scale, "f32");
  accessOperands(kernel, operands, extents, "row");
  declareSight(kernel, attrs);
  if (weighs) declareWeight(kernel, rows, pair.weight);
  declarePair(kernel, rows, pair);
  declareMayPair(kernel, rows, context, bounded);
  // Each sequence may leave a tile half filled.
  const tiles = addSizes(extents.ceilDivide(extents.times(groupSize, q.type.shape[1]!), tile), extents.batch);
  return work([...rows.steps(scratch()), kernel.dispatch(extents.times(shared, tiles))], [rows.bytes]);
};

interface Tiled {
  readonly kernel: KernelBuilder;
  /** Queries. */
  readonly tile: number;
  /** Whether the kernel weighs keys. */
  readonly weighs: boolean;
}

/** The kernel with its tile's constants; `most`: the most queries of a sequence. */
function tiled(
  { attrs: { pair }, extents, tunings }: KernelContext<"pair_attention">,
  operands: AttentionOperands,
  quarters: number,
  quartersV: number,
  most: number,
): Tiled {
  const exact = exactAttention(tunings.attention);
  if (exact.kind === "subgroup" && pair.weight === null) {
    const { width } = exact;
    const [chunks, parts] = [Math.ceil(quarters / width), Math.ceil(quartersV / width)];
    if (readsVectors(operands) && Math.max(chunks, parts) <= MOST_VECTORS) {
      const half = halfTile(exact.tile, most, Math.max(chunks, parts));
      const kernel = new KernelBuilder("attention_pairs_subgroup", extents)
        .subgroups(width)
        .constant("WIDTH", width)
        .constant("HALF", half)
        .constant("CHUNKS", chunks)
        .constant("PARTS", parts)
        .constant("PAIRED", pair.mask === null && pair.bias === null && pair.cap === null ? 0 : 1)
        .constant("MASKED", pair.mask === null ? 0 : 1);
      return { kernel, tile: 2 * half, weighs: false };
    }
  }
  const { lanes: least, tile: wanted } = sharedAttention(tunings.attention);
  const lanes = LANES.find((n) => n >= least && quartersV <= 2 * n) ?? LANES.at(-1)!;
  const tile = tileWithin(wanted, most, 16 * quarters + 24 * lanes + 8);
  const kernel = new KernelBuilder("attention_pairs", extents)
    .holdsMany()
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .constant("PARTS", Math.ceil(quartersV / lanes));
  return { kernel, tile, weighs: true };
}

/** `fn weightAt(row: u32) -> f32`: the weight of a key. */
function declareWeight(kernel: KernelBuilder, rows: PairRows, weight: number | null): void {
  const text = weight === null ? "1.0" : rows.element(weight, null);
  kernel.function(`fn weightAt(key: u32) -> f32 { return ${text}; }`);
}

export const pairSpecs = { pair_attention: pairAttention };
