// Specs of the kernels that sort entries into groups, multiply each group by its matrix, and add up a row's entries.
import { invariant } from "../../../ground/base/invariant.js";
import type { TensorType } from "../../ir/types.js";
import { operandsOf } from "../../ops/groups.js";
import { equalSizes, multiplySizes } from "../../../ground/size/size.js";
import { rounding } from "../codecs/codec.js";
import type { MatmulContext, Product, ProductContext } from "./product-kernels.js";
import { valueOf, valueTaken } from "./product-texts.js";
import { contractedTiles, groupedTiles } from "./product-tiles.js";
import { PLAIN, productWork } from "./products.js";
import { input, KernelBuilder, result, typeAt, work, type KernelContext, type Spec, type Work } from "./spec.js";

const sortEntries: Spec<"sort_entries"> = ({ attrs, inputs, results, extents, tunings }) => {
  const { shape } = typeAt(inputs, 0);
  const kernel = new KernelBuilder("sort_entries", extents).read("group", "u32", input(0));
  ["entries", "rows", "place", "starts", "groups"].forEach((name, i) => kernel.write(name, "u32", result(i)));
  return work([
    kernel
      .constant("LANES", tunings.reductions.lanes)
      .count("entryCount", extents.product(shape))
      .count("each", shape[1]!)
      .count("groupCount", attrs.groups)
      .count("listed", typeAt(results, 0).shape[0]!)
      .dispatch(attrs.groups + 1),
  ]);
};

const sumEntries: Spec<"sum_entries"> = ({ attrs, inputs, results, extents, tunings, stored, inPlace }) => {
  const [y, place, sum] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(results, 0)];
  const [from, to] = [stored.reads[0]!, stored.writes[0]!];
  const base = operandsOf(inputs, attrs.groups).x ? stored.reads[3]! : null;
  const kernel = new KernelBuilder("sum_entries", extents)
    .read("y", from.element("f32"), input(0))
    .read("place", "u32", input(1));
  // Rows that are added to are read from the memory that they share with the result.
  if (base && !inPlace[0]) kernel.read("x", base.element("f32"), input(3));
  if (attrs.groups !== undefined)
    kernel.read("groups", "u32", input(inputs.length - 1)).count("groupCount", attrs.groups);
  const none = noneOf(kernel, y, place, attrs.groups);
  kernel
    .write("sum", to.element("f32"), result())
    .count("rowCount", place.shape[0]!)
    .count("each", place.shape[1]!)
    .count("width", extents.product(sum.shape.slice(1)))
    .function(`fn valueAt(i: u32) -> f32 { return ${from.load("y[i]")}; }`)
    .function(`fn baseAt(i: u32) -> f32 { return ${base ? base.load(inPlace[0] ? "sum[i]" : "x[i]") : "0.0"}; }`)
    .function(`fn isEnd(at: u32) -> bool { return ${attrs.gaps ? "false" : none}; }`)
    .function(`fn isGap(at: u32) -> bool { return ${attrs.gaps ? none : "false"}; }`)
    .function(rounding(to, sum.dtype));
  return work([kernel.spread(extents.product(sum.shape), tunings.elements)]);
};

/** The condition that a place is invalid: it is not listed, or has no group. */
function noneOf(kernel: KernelBuilder, y: TensorType, place: TensorType, groups: number | undefined): string {
  const [rows, each] = [place.shape[0]!, place.shape[1]!];
  const none = groups === undefined ? [] : ["groups[at] >= groupCount()"];
  if (!equalSizes(y.shape[0]!, multiplySizes(rows, each))) {
    kernel.count("listed", y.shape[0]!);
    none.unshift("at >= listed()");
  }
  return none.join(" || ") || "false";
}

/** A product of groups of rows, each by its own matrix. */
export const groupedMatmul = (node: KernelContext<"grouped_matmul">, fused: MatmulContext = PLAIN): Work => {
  const context: ProductContext = { ...node, ...fused };
  const [a, b, y] = [typeAt(node.inputs, 0), typeAt(node.inputs, 1), typeAt(node.results, 0)];
  const [groups] = b.shape;
  invariant(typeof groups === "number", "the number of groups is known");
  return productWork(context, {
    batches: groups,
    rows: y.shape[0]!,
    columns: y.shape[1]!,
    depth: a.shape[1]!,
    lead: [groups],
    stepsA: [0],
    stepsB: [1],
    tiles: groupedTiles(groups, y.shape[0]!, fused.inputStarts, node.attrs.unread ?? false),
    groups,
  });
};

/** Each group's matrix is a product whose depth is the group's rows, of which a lies transposed. */
const groupedContract: Spec<"grouped_contract"> = (node) => {
  const [a, b, y] = [typeAt(node.inputs, 0), typeAt(node.inputs, 1), typeAt(node.results, 0)];
  const [groups] = y.shape;
  invariant(typeof groups === "number", "the number of groups is known");
  const loads: ProductContext["loads"] = (kernel, _letter, _finishes, kind) => {
    const codec = node.stored.reads[0]!;
    const value = codec.load("a[r.at + colA(k)]");
    kernel.read("a", codec.element("f32"), input(0)).function(`struct RowA { at: u32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(starts[batch] * rowCount() + row); }
alias ColA = u32;
fn colA(k: u32) -> ColA { return k * rowCount(); }
${kind === "apart" ? valueTaken(value) : valueOf(codec.load("a[r.at + c]"))}`);
  };
  const product: Product = {
    batches: groups,
    rows: a.shape[1]!,
    columns: b.shape[1]!,
    depth: a.shape[0]!,
    lead: [groups],
    stepsA: [0],
    stepsB: [1],
    tiles: contractedTiles(groups, a.shape[1]!, 2),
    groups: null,
  };
  return productWork({ ...node, ...PLAIN, attrs: { transposed: false, ...node.attrs }, loads }, product);
};

export const groupSpecs = {
  sort_entries: sortEntries,
  sum_entries: sumEntries,
  grouped_matmul: groupedMatmul,
  grouped_contract: groupedContract,
};
