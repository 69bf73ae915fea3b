// Specs of gradients: of tables and of the loss.
import type { Step } from "../plan.js";
import { rowsTogether } from "./compute.js";
import { input, KernelBuilder, readValues, result, roundedTo, scratch, typeAt, work, type Operand, type Spec } from "./spec.js";

export const gatherGrad: Spec<"gather_grad"> = ({ attrs, inputs, results, extents, tunings, prologue, places }) => {
  const [indices, y] = [typeAt(inputs, 0), typeAt(results, 0)];
  const count = extents.product(indices.shape);
  const width = extents.product(y.shape.slice(1));
  const links = new KernelBuilder("gather_links", extents).read("indices", "u32", input(places[0]!));
  links.write("first", "u32", scratch(0)).write("next", "u32", scratch(1)).count("count", count).count("tableRows", attrs.rows);
  const sums = new KernelBuilder("gather_grad", extents);
  readValues(sums, prologue, { name: "dy", type: "f32", place: places[1]! });
  sums.read("first", "u32", scratch(0)).read("next", "u32", scratch(1)).write("y", "f32", result());
  sums.count("tableRows", attrs.rows).count("width", width).function(roundedTo(y.dtype, false));
  const none: Step<Operand> = { kind: "clear", to: scratch(0), bytes: extents.times(4, attrs.rows) };
  return work(
    [none, links.over(count), sums.spread(extents.product(y.shape), tunings.elements)],
    [extents.bytes({ dtype: "u32", shape: [attrs.rows] }), extents.times(4, count)],
  );
};

export const crossEntropyGrad: Spec<"cross_entropy_grad"> = ({ inputs, extents, tunings, inPlace }) => {
  const [x, targets] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const rows = extents.product(targets.shape);
  const kernel = new KernelBuilder("cross_entropy_grad", extents);
  const taken = inPlace[0] ?? false;
  if (!taken) kernel.read("x", "f32", input(0));
  kernel.read("targets", "u32", input(1)).read("dloss", "f32", input(2)).write("dx", "f32", result());
  kernel.function(`fn value(i: u32) -> f32 { return ${taken ? "dx" : "x"}[i]; }`);
  const classes = x.shape.at(-1)!;
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel.count("rowCount", rows).count("classes", classes).function(roundedTo(x.dtype, false));
  kernel.function(`fn ignored(bits: u32) -> bool { return ${targets.dtype === "i32" ? "bits >= 0x80000000u" : "false"}; }`);
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};
