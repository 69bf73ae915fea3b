// The spec of `received`: the sums of queries' exponentials, then the sums of keys' shares.
import { invariant } from "../../../ground/base/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { addSizes, type Size } from "../../../ground/size/size.js";
import type { Step } from "../plan/plan.js";
import { words } from "../codecs/words.js";
import { sharedAttention } from "../tunings/attention.js";
import { tileWithin } from "./attention.js";
import { bindRowInputs, elementOf, extent, reader, rowsOf } from "./attention-operands.js";
import { declareSeeing, declareSight } from "./attention-texts.js";
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
} from "./spec.js";

type Context = KernelContext<"received">;

const received: Spec<"received"> = (context) => {
  const { inputs, extents } = context;
  const [heads = 1, queries = 1] = typeAt(inputs, 0).shape;
  const bytes = extents.times(4, extents.times(heads, queries));
  return work([sideStep(context, "queries"), sideStep(context, "keys")], [bytes]);
};

/** The side whose rows a tile holds; the kernel loops over the rows of the other side. */
function sideStep({ attrs, inputs, extents, tunings, views }: Context, side: "queries" | "keys"): Step<Operand> {
  const [q, k] = [0, 1].map((i) => rowsOf(typeAt(inputs, i), views[i] ?? null, words, extents));
  invariant(q && k, "q and k are [heads, rows, width]");
  const [heads, groups] = [q.type.shape[0], k.type.shape[0]];
  invariant(typeof heads === "number" && typeof groups === "number", "the heads are known");
  const ofQueries = side === "queries";
  const owned = ofQueries ? q : k;
  const quarters = Math.ceil(q.width / 4);
  const { lanes, tile: tunedTile } = sharedAttention(tunings.attention);
  const tile = tileWithin(tunedTile, Infinity, 16 * quarters + 8 * lanes);

  const kernel = new KernelBuilder(ofQueries ? "score_sums" : "received", extents)
    .read("q", elementOf(q), input(0))
    .read("k", elementOf(k), input(1));
  bindRowInputs(kernel, 2);
  if (ofQueries) kernel.write("lse", "f32", scratch());
  else kernel.read("lse", "f32", scratch()).write("y", "f32", result());
  kernel
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .count("heads", heads)
    .count("groupSize", heads / groups)
    .count("batch", extents.batch)
    .count("quarters", quarters)
    .value("scale", attrs.scale, "f32");
  const [axisQ, axisK] = [packedAxis(q.type.shape[1]!), packedAxis(k.type.shape[1]!)];
  const declare = (name: string, size: Size): void => extent(kernel, extents, name, size, axisQ, axisK);
  reader(kernel, ofQueries ? "own" : "other", "q", q, declare);
  reader(kernel, ofQueries ? "other" : "own", "k", k, declare);
  for (const f of namesOf(ofQueries)) kernel.function(f);
  if (ofQueries) declareSight(kernel, attrs);
  else declareSeeing(kernel, attrs);

  // Each sequence may end with a partly filled tile.
  const tiles = addSizes(extents.ceilDivide(owned.type.shape[1]!, tile), extents.batch);
  return kernel.dispatch(extents.times(heads, tiles));
}

/** The kernel files' names for the two sides. */
function namesOf(ofQueries: boolean): readonly string[] {
  const [owned, other] = ofQueries ? ["Q", "K"] : ["K", "Q"];
  const [each, shared] = ["{ return h; }", "{ return h / groupSize(); }"];
  return [
    `fn ownHead(h: u32) -> u32 ${ofQueries ? each : shared}`,
    `fn otherHead(h: u32) -> u32 ${ofQueries ? shared : each}`,
    `fn ownStart(b: u32) -> u32 { return start${owned}(b); }`,
    `fn otherStart(b: u32) -> u32 { return start${other}(b); }`,
    `fn ownPosition(row: u32) -> u32 { return position${owned}(row); }`,
    `fn otherPosition(row: u32) -> u32 { return position${other}(row); }`,
    `fn pairs(i: u32, j: u32) -> bool { return ${ofQueries ? "sees(i, j)" : "sees(j, i)"}; }`,
    `fn firstOf(i: u32) -> u32 { return ${ofQueries ? "firstSeen" : "firstSeeing"}(i); }`,
    `fn lastOf(i: u32) -> u32 { return ${ofQueries ? "lastSeen" : "lastSeeing"}(i); }`,
  ];
}

export const receivedSpecs = { received };
