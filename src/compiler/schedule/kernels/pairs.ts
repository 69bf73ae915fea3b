// The spec of attention that reads pairs of tokens.
import { packedAxis } from "../../ir/typing.js";
import { addSizes } from "../../../ground/size/size.js";
import type { Step } from "../plan/plan.js";
import { exactAttention, sharedAttention } from "../tunings/attention.js";
import { byUnits, halfTile, LANES, MOST_VECTORS, roundsOperands, tileWithin } from "./attention.js";
import {
  accessOperands,
  bindOperands,
  operandsOf,
  readsVectors,
  type AttentionOperands,
} from "./attention-operands.js";
import { queryKernel } from "./attention-query.js";
import { declareSight } from "./attention-texts.js";
import { whereRows } from "./cases.js";
import { boundedOperands, declareMayPair } from "./pair-intervals.js";
import { PairRows } from "./pair-rows.js";
import { declarePair } from "./pair-texts.js";
import { KernelBuilder, result, scratch, work, type KernelContext, type Operand, type Spec } from "./spec.js";

const pairAttention: Spec<"pair_attention"> = (context) => {
  const { attrs, extents, tunings } = context;
  const { pair } = attrs;
  const operands = operandsOf(context);
  const { heads, shared, q, v } = operands;
  const groupSize = heads / shared;
  const bounded = boundedOperands(context);
  const rows = new PairRows(context, bounded, null);
  const queries = q.type.shape[1]!;
  const most = extents.most(packedAxis(queries)!);
  const [quarters, quartersV] = [q, v].map(({ width }) => Math.ceil(width / 4)) as [number, number];
  const make = (file: string): KernelBuilder => {
    const kernel = new KernelBuilder(file, extents);
    bindOperands(kernel, operands, (k) => {
      k.count("batch", extents.batch);
      rows.declare(k, scratch());
    });
    return kernel.write("lse", "f32", result(1));
  };
  const dispatched = ({ kernel, tile, alone = false, anyWidth = true }: Tiled): Step<Operand> => {
    kernel.function("fn keep(head: u32, row: u32, x: f32) { lse[head * startQ(batch()) + row] = x; }");
    kernel.count("sharedHeads", shared).count("groupSize", groupSize).value("scale", attrs.scale, "f32");
    if (anyWidth) kernel.count("quarters", quarters).count("quartersV", quartersV);
    accessOperands(kernel, operands, extents, "row");
    declareSight(kernel, attrs);
    declarePair(kernel, rows, pair, pair.weight);
    declareMayPair(kernel, rows, context, bounded);
    if (alone) return kernel.dispatch(extents.times(heads, queries));
    // Each sequence may leave a tile half filled.
    const tiles = addSizes(extents.ceilDivide(extents.times(groupSize, queries), tile), extents.batch);
    return kernel.dispatch(extents.times(shared, tiles));
  };
  const { few } = tunings.attention;
  const forFew = (): Step<Operand> => {
    const kernel = queryKernel(few!, quarters, quartersV, make, "attention_pairs_");
    return dispatched({ kernel, tile: 1, alone: true, anyWidth: false });
  };
  const forMany = (): Step<Operand> =>
    dispatched(tiled(context, operands, quarters, quartersV, most === null ? Infinity : most * groupSize, make));
  const steps = (): readonly Step<Operand>[] => {
    if (few === undefined) return [forMany()];
    if (most !== null && most <= few.most) return [forFew()];
    // Only the host chooses by rows.
    if (extents.deviceSize(queries) !== null) return [forMany()];
    return [whereRows(extents, forFew(), queries, 0, few.most), whereRows(extents, forMany(), queries, few.most, null)];
  };
  return work([...rows.steps(scratch()), ...steps()], [rows.bytes]);
};

interface Tiled {
  readonly kernel: KernelBuilder;
  /** Queries. */
  readonly tile: number;
  /** Whether a workgroup computes a single query. */
  readonly alone?: boolean;
  /** Whether the widths of heads are uniforms. */
  readonly anyWidth?: boolean;
}

/** The kernel with its tile's constants; `most`: the most queries of a sequence. */
function tiled(
  context: KernelContext<"pair_attention">,
  operands: AttentionOperands,
  quarters: number,
  quartersV: number,
  most: number,
  make: (file: string) => KernelBuilder,
): Tiled {
  const { mask, bias, weight, cap } = context.attrs.pair;
  const tuning = context.tunings.attention;
  const paired = [mask, bias, weight, cap].some((part) => part !== null) ? 1 : 0;
  if (tuning.kind === "matrix" && roundsOperands(context, operands)) {
    const onUnits = byUnits(tuning, operands, most, make, "attention_pairs_matrix");
    if (onUnits) return { kernel: onUnits.kernel.constant("PAIRED", paired), tile: onUnits.tile };
  }
  const exact = exactAttention(tuning);
  if (exact.kind === "subgroup") {
    const { width } = exact;
    const [chunks, parts] = [Math.ceil(quarters / width), Math.ceil(quartersV / width)];
    if (readsVectors(operands) && Math.max(chunks, parts) <= MOST_VECTORS) {
      const ofWidth = (file: string): KernelBuilder =>
        make(file)
          .subgroups(width)
          .constant("WIDTH", width)
          .constant("CHUNKS", chunks)
          .constant("PARTS", parts)
          .constant("PAIRED", paired);
      if (most === 1) return { kernel: ofWidth("attention_pairs_row"), tile: 1, alone: true };
      const half = halfTile(exact.tile, most, Math.max(chunks, parts));
      const kernel = ofWidth("attention_pairs_subgroup")
        .constant("HALF", half)
        .constant("MASKED", mask === null && weight === null ? 0 : 1);
      return { kernel, tile: 2 * half };
    }
  }
  const { lanes: least, tile: wanted } = sharedAttention(tuning);
  const lanes = LANES.find((n) => n >= least && quartersV <= 2 * n) ?? LANES.at(-1)!;
  const tile = tileWithin(wanted, most, 16 * quarters + 24 * lanes + 8);
  const kernel = make("attention_pairs")
    .holdsMany()
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .constant("PARTS", Math.ceil(quartersV / lanes));
  return { kernel, tile };
}

export const pairSpecs = { pair_attention: pairAttention };
