// The spec of attention.
import { packedAxis } from "../../ir/typing.js";
import { DEFAULT_LIMITS } from "../../program/target.js";
import { addSizes } from "../../size/size.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import { accessOperands, bindOperands, operandsOf } from "./attention-operands.js";
import { KernelBuilder, work, type Spec } from "./spec.js";

/** Queries of a tile: each key and value that is loaded serves so many. */
const TILE = 8;
/** Invocations of a workgroup, more for wide heads, so that a lane owns no more than two fours of columns up to 256. */
const LANES = [8, 16, 32] as const;

export const attention: Spec<"attention"> = (context) => {
  const { attrs, extents } = context;
  const operands = operandsOf(context);
  const { heads, shared, q, v } = operands;
  const [quarters, quartersV] = [Math.ceil(q.width / 4), Math.ceil(v.width / 4)];
  const groupSize = heads / shared;
  const rows = q.type.shape[1]!;
  const most = extents.most(packedAxis(rows)!);
  const lanes = LANES.find((n) => quartersV <= 2 * n) ?? LANES.at(-1)!;
  let tile = most === null ? TILE : Math.min(TILE, 2 ** Math.ceil(Math.log2(Math.max(1, most * groupSize))));
  while (tile > 1 && tile * (16 * quarters + 20 * lanes + 4) > DEFAULT_LIMITS.workgroupStorageBytes) tile /= 2;

  const kernel = new KernelBuilder("attention", extents);
  bindOperands(kernel, operands);
  kernel
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .constant("PARTS", Math.ceil(quartersV / lanes));
  kernel.count("sharedHeads", shared).count("groupSize", groupSize).count("batch", extents.batch);
  kernel.count("quarters", quarters).count("quartersV", quartersV).value("scale", attrs.scale, "f32");
  accessOperands(kernel, operands, extents);
  declareSight(kernel, attrs);

  // Each sequence may leave a tile half filled.
  const tiles = addSizes(extents.ceilDivide(extents.times(groupSize, rows), tile), extents.batch);
  return work([kernel.dispatch(extents.times(shared, tiles))]);
};

/** `sees(i, j)`: whether a query at position i sees a key at j; `firstSeen(i)` and `lastSeen(i)`: the positions between which those lie. */
function declareSight(kernel: KernelBuilder, { causal, window }: OpAttrs["attention"]): void {
  const seen: string[] = [];
  if (causal) seen.push("j <= i");
  if (window > 0) {
    kernel.count("window", window);
    seen.push("max(i, j) - min(i, j) < window()");
  }
  kernel.function(`fn sees(i: u32, j: u32) -> bool { return ${seen.join(" && ") || "true"}; }`);
  kernel.function(`fn firstSeen(i: u32) -> u32 { return ${window > 0 ? "i - min(i, window() - 1u)" : "0u"}; }`);
  const last = causal ? "i" : window > 0 ? "min(i, 0xfffffffeu - window()) + window() - 1u" : "0xfffffffeu";
  kernel.function(`fn lastSeen(i: u32) -> u32 { return ${last}; }`);
}
