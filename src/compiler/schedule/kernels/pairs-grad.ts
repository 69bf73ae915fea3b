// The spec of the gradient of attention that reads pairs of tokens: one kernel for the rows of queries and for the
// rows of keys, and one for each operand that is a table or lies in memory pair by pair.
import { invariant } from "../../../ground/base/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { gradientOrder } from "../../ops/pairs.js";
import { slopesOf } from "../../ops/pair-steps.js";
import { addSizes, type Size } from "../../../ground/size/size.js";
import { sharedAttention } from "../tunings/attention.js";
import { words } from "../codecs/words.js";
import type { Step } from "../plan/plan.js";
import { LANES, tileWithin } from "./attention.js";
import { sideNames } from "./attention-grad.js";
import { declareSeeing, declareSight } from "./attention-texts.js";
import { elementOf, extent, isWideResult, reader, rowsOf, writer, type HeadRows } from "./attention-operands.js";
import { boundedOperands, declareMayPair } from "./pair-intervals.js";
import { PairRows } from "./pair-rows.js";
import { declarePair, declareReadings, declareSlopes } from "./pair-texts.js";
import {
  input,
  KernelBuilder,
  result,
  scratch,
  typeAt,
  work,
  type KernelContext,
  type Operand,
  type Spec,
  type Work,
} from "./spec.js";

type Context = KernelContext<"pair_attention_grad">;

const pairAttentionGrad: Spec<"pair_attention_grad"> = (context) => {
  const { inputs, attrs } = context;
  const statistics = [inputs.length - 3, inputs.length - 2] as const;
  const rows = new PairRows(context, boundedOperands(context), statistics);
  const order = gradientOrder(attrs.pair);
  const first = 3 + Number(order.query.length > 0) + Number(order.key.length > 0);
  const steps = [...rows.steps(scratch()), sideStep(context, rows, "queries"), sideStep(context, rows, "keys")];
  const bytes: Size[] = [rows.bytes];
  [...order.table, ...order.pair].forEach((operand, i) => {
    const apart = ofOperand(context, rows, operand, { from: "result", index: first + i }, scratch(bytes.length));
    steps.push(...apart.steps);
    bytes.push(...apart.scratch);
  });
  return work(steps, bytes);
};

/** The operands of q, k, v and dy, and the number of query heads of a key head. */
function operandsOf(context: Context): {
  readonly q: HeadRows;
  readonly k: HeadRows;
  readonly v: HeadRows;
  readonly dy: HeadRows;
  readonly shared: number;
  readonly groupSize: number;
} {
  const { inputs, views, extents } = context;
  const operand = (i: number): HeadRows => rowsOf(typeAt(inputs, i), views[i] ?? null, words, extents);
  const [q, k, v, dy] = [operand(0), operand(1), operand(2), operand(inputs.length - 1)];
  const [heads, shared] = [q.type.shape[0], k.type.shape[0]];
  invariant(typeof heads === "number" && typeof shared === "number", "the heads are known");
  return { q, k, v, dy, shared, groupSize: heads / shared };
}

/** The kernel with q, k, v, dy and the table bound, and all that says which pairs there are; tiles are of `side`. */
function kernelOf(
  context: Context,
  rows: PairRows,
  side: "queries" | "keys",
  file: string,
  memory: (tile: number) => number,
) {
  const { inputs, extents, attrs, tunings } = context;
  const { q, k, v, dy, shared, groupSize } = operandsOf(context);
  const ofQueries = side === "queries";
  const ownRows = (ofQueries ? q : k).type.shape[1]!;
  const ownGroup = ofQueries ? groupSize : 1;
  const most = extents.most(packedAxis(ownRows)!);
  const [quarters, quartersV] = [Math.ceil(q.width / 4), Math.ceil(v.width / 4)];
  const tuning = sharedAttention(tunings.attention);
  const lanes = LANES.find((n) => n >= tuning.lanes && Math.max(quarters, quartersV) <= 2 * n) ?? LANES.at(-1)!;
  const each = 16 * (quarters + quartersV + 2 * lanes) + memory(lanes);
  const tile = tileWithin(tuning.tile, most === null ? Infinity : most * ownGroup, each);
  const kernel = new KernelBuilder(file, extents)
    .holdsMany()
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .constant("STAGED_V", tile * quartersV);
  for (const [name, one, index] of [
    ["q", q, 0],
    ["k", k, 1],
    ["v", v, 2],
    ["dy", dy, inputs.length - 1],
  ] as const)
    kernel.read(name, elementOf(one), input(index));
  kernel.count("batch", extents.batch);
  rows.declare(kernel, scratch());
  kernel.count("sharedHeads", shared).count("groupSize", groupSize).count("quarters", quarters);
  kernel.count("quartersV", quartersV).value("scale", attrs.scale, "f32");
  const [axisQ, axisK] = [packedAxis(q.type.shape[1]!), packedAxis(k.type.shape[1]!)];
  const declare = (name: string, size: Size): void => extent(kernel, extents, name, size, axisQ, axisK);
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
  for (const [role, buffer, of] of roles) reader(kernel, role, buffer, of, declare);
  for (const f of sideNames(ofQueries, `{ return ${rows.statistics()}; }`)) kernel.function(f);
  if (ofQueries) declareSight(kernel, attrs);
  else declareSeeing(kernel, attrs);
  declarePair(kernel, rows, attrs.pair);
  declareMayPair(kernel, rows, context, boundedOperands(context));
  declareMeetings(kernel, ofQueries);
  const { weight } = attrs.pair;
  const weightText = weight === null ? "1.0" : rows.element(weight, null);
  const [one, key] = ["{ return 1.0; }", `{ return ${weightText}; }`];
  kernel
    .function(`fn ownWeight(key: u32) -> f32 ${ofQueries ? one : key}`)
    .function(`fn otherWeight(key: u32) -> f32 ${ofQueries ? key : one}`);
  // Each sequence may end with a partly filled tile.
  const tiles = addSizes(extents.ceilDivide(extents.times(ownGroup, ownRows), tile), extents.batch);
  return {
    kernel,
    declare,
    tiles,
    lanes,
    tile,
    workgroups: extents.times(shared, tiles),
    quarters,
    quartersV,
    groupSize,
  };
}

/** The parameters for a row of each side, and the arguments of the functions of pairs. */
const MEETING = "ownHead: u32, own: u32, otherHead: u32, other: u32, firstKey: u32, i: u32, j: u32";
const meeting = (ofQueries: boolean): string =>
  ofQueries ? "ownHead, own, other, firstKey, i, j" : "otherHead, other, own, firstKey, j, i";

function declareMeetings(kernel: KernelBuilder, ofQueries: boolean): void {
  kernel
    .function("fn keyStart(b: u32) -> u32 { return startK(b); }")
    .function(`fn pairing(${MEETING}, score: f32) -> PairValue { return pairOf(${meeting(ofQueries)}, score); }`)
    .function(
      "fn mayMeet(firstOwn: u32, lastOwn: u32, firstOther: u32, lastOther: u32) -> bool { return mayPair(" +
        `${ofQueries ? "firstOwn, lastOwn, firstOther, lastOther" : "firstOther, lastOther, firstOwn, lastOwn"}); }`,
    );
}

/** The dispatch that computes the gradients of q and of operands on queries, or of k, v and operands on keys. */
function sideStep(context: Context, rows: PairRows, side: "queries" | "keys"): Step<Operand> {
  const { results, extents, attrs, resultViews } = context;
  const { pair } = attrs;
  const ofQueries = side === "queries";
  const order = gradientOrder(pair);
  const count = (ofQueries ? order.query : order.key).length;
  const made = kernelOf(context, rows, side, "attention_pairs_grad", (lanes) => 4 * lanes * (count + 1));
  const { kernel, declare, lanes, quarters, quartersV } = made;
  kernel
    .constant("CHUNKS", Math.ceil(quarters / lanes))
    .constant("PARTS", Math.ceil(quartersV / lanes))
    .constant("BOTH", ofQueries ? 0 : 1);
  for (const [letter, index] of ofQueries
    ? ([["A", 0]] as const)
    : ([
        ["A", 1],
        ["B", 2],
      ] as const)) {
    const to = rowsOf(typeAt(results, index), resultViews[index] ?? null, words, extents);
    kernel.write(`d${letter}`, isWideResult(to) ? "vec4f" : "f32", result(index));
    writer(kernel, `write${letter}`, `d${letter}`, to, `place${letter}`, declare);
  }
  if (ofQueries) kernel.function("fn writeB(head: u32, row: u32, c: u32, x: vec4f) {}");
  const own = ofQueries ? order.query : order.key;
  declareSlopes(kernel, rows, pair, own);
  kernel.function(`fn slopesAt(${MEETING}) -> Slopes { return slopesOf(${meeting(ofQueries)}); }`);
  const heads = ofQueries ? "sharedHeads() * groupSize()" : "sharedHeads()";
  const place = `(o * ${heads} + head) * ${ofQueries ? "pairQueries()" : "pairKeys()"} + row`;
  const weightPlace = ofQueries || pair.weight === null ? -1 : own.indexOf(pair.weight);
  if (own.length > 0) kernel.write("ofOperands", "f32", result(ofQueries || order.query.length === 0 ? 3 : 4));
  const kept = weightPlace < 0 ? "" : `if (o == ${weightPlace}u) { return; } `;
  kernel
    .function(
      "fn writeOperand(o: u32, head: u32, row: u32, x: f32) { " +
        `${own.length > 0 ? `${kept}ofOperands[${place}] = x; ` : ""}}`,
    )
    .function(
      "fn writeWeight(head: u32, row: u32, x: f32) { " +
        `${weightPlace < 0 ? "" : `let o = ${weightPlace}u; ofOperands[${place}] = x; `}}`,
    );
  return kernel.dispatch(made.workgroups);
}

/** The steps for the gradient of an operand that is a table or lies in memory pair by pair. */
function ofOperand(
  context: Context,
  rows: PairRows,
  operand: number,
  to: { readonly from: "result"; readonly index: number },
  partials: Operand,
): Work {
  const { attrs, extents, results, tunings } = context;
  const { pair } = attrs;
  const isTable = pair.operands[operand] === "table";
  const { kernel, tiles, workgroups } = kernelOf(
    context,
    rows,
    "queries",
    "attention_pairs_operand",
    (lanes) => 16 * lanes,
  );
  declareReadings(
    kernel,
    rows,
    pair,
    slopesOf(pair).slopes.filter((s) => s.operand === operand),
  );
  const type = typeAt(results, to.index);
  const [heads, entries] = [Number(type.shape[0]), isTable ? Number(type.shape[1]) : 0];
  kernel.constant("ENTRIES", entries);
  if (!isTable) {
    kernel.write("ofPairs", "f32", to).count("lengthK", type.shape.at(-1)!);
    const place = "(head * pairQueries() + query) * lengthK() + key";
    kernel
      .function(`fn leave(head: u32, query: u32, key: u32, x: f32) { ofPairs[${place}] = x; }`)
      .function("fn addTo(tile: u32, head: u32, entry: u32, x: f32) {}");
    return work([{ kind: "clear", to, bytes: extents.bytes(type) }, kernel.dispatch(workgroups)]);
  }
  kernel
    .write("partials", "f32", partials)
    .function("fn leave(head: u32, query: u32, key: u32, x: f32) {}")
    .function(
      "fn addTo(tile: u32, head: u32, entry: u32, x: f32) { " +
        `partials[(tile * ${heads}u + head) * ENTRIES + entry] += x; }`,
    );
  const bytes = extents.times(4 * heads * entries, tiles);
  const sum = new KernelBuilder("pointwise", extents, "attention_pair_sums")
    .read("partials", "f32", partials)
    .write("y", "f32", to)
    .count("tiles", tiles)
    .function(`fn count() -> u32 { return ${heads * entries}u; }`)
    .function(
      "fn value(i: u32) -> f32 {\n  var sum = 0.0;\n" +
        "  for (var t = 0u; t < tiles(); t++) { sum += partials[t * count() + i]; }\n  return sum;\n}",
    );
  const steps = [kernel.dispatch(workgroups), sum.spread(heads * entries, tunings.elements)];
  return work([{ kind: "clear", to: partials, bytes }, ...steps], [bytes]);
}

export const pairGradSpecs = { pair_attention_grad: pairAttentionGrad };
