// Specs of gradients: of tables and of the loss.
import { rounding } from "../codecs/codec.js";
import { words } from "../codecs/words.js";
import type { Step } from "../plan/plan.js";
import { ignoring, rowsTogether } from "./compute.js";
import { input, KernelBuilder, readValues, result, scratch, typeAt, work, type Operand, type Spec } from "./spec.js";

const gatherGrad: Spec<"gather_grad"> = ({ attrs, inputs, results, extents, tunings, prologue, places }) => {
  const [indices, y] = [typeAt(inputs, 0), typeAt(results, 0)];
  const count = extents.product(indices.shape);
  const width = extents.product(y.shape.slice(1));
  const together = tunings.reductions.wide ?? false;
  const links = new KernelBuilder(together ? "gather_links_wide" : "gather_links", extents);
  links
    .read("indices", "u32", input(places[0]!))
    .write("heads", "u32", scratch(0))
    .write("next", "u32", scratch(1))
    .count("count", count)
    .count("tableRows", attrs.rows);
  const sums = new KernelBuilder("gather_grad", extents);
  sums.readAs("indices", "u32", places[0]!);
  readValues(sums, prologue, { name: "dy", type: "f32", place: places[1]! });
  sums.read("heads", "u32", scratch(0)).read("next", "u32", scratch(1)).write("y", "f32", result());
  const columns = typeof width === "number" && width % 4 === 0 ? 4 : 1;
  sums
    .constant("COLUMNS", columns)
    .count("count", count)
    .count("tableRows", attrs.rows)
    .count("width", width)
    .function(rounding(words, y.dtype));
  const steps: readonly Step<Operand>[] = [
    { kind: "clear", to: result(), bytes: extents.bytes(y) },
    together ? links.dispatch(extents.ceilDivide(count, 64)) : links.over(count),
    sums.spread(extents.times(count, extents.ceilDivide(width, columns)), tunings.elements),
  ];
  return work(steps, [extents.times(4, count), extents.times(4, count)]);
};

const crossEntropyGrad: Spec<"cross_entropy_grad"> = ({ inputs, extents, tunings, inPlace }) => {
  const [x, targets] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const rows = extents.product(targets.shape);
  const kernel = new KernelBuilder("cross_entropy_grad", extents);
  const taken = inPlace[0] ?? false;
  if (!taken) kernel.read("x", "f32", input(0));
  kernel.read("targets", "u32", input(1)).read("dloss", "f32", input(2)).write("dx", "f32", result());
  kernel.function(`fn value(i: u32) -> f32 { return ${taken ? "dx" : "x"}[i]; }`);
  const classes = x.shape.at(-1)!;
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel.count("rowCount", rows).count("classes", classes).function(rounding(words, x.dtype));
  kernel.function(ignoring(targets));
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};

const classGrad: Spec<"class_grad"> = ({ attrs, inputs, extents, tunings, inPlace }) => {
  const [x, targets] = [typeAt(inputs, 0), typeAt(inputs, 2)];
  const kernel = new KernelBuilder("class_grad", extents);
  const taken = inPlace[0] ?? false;
  if (!taken) kernel.read("x", "f32", input(0));
  kernel
    .read("sums", "f32", input(1))
    .read("targets", "u32", input(2))
    .read("dloss", "f32", input(3))
    .write("dx", "f32", result());
  kernel.function(`fn value(i: u32) -> f32 { return ${taken ? "dx" : "x"}[i]; }`);
  const [rows, classes] = [extents.product(targets.shape), x.shape.at(-1)!];
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel
    .count("rowCount", rows)
    .count("classes", classes)
    .count("firstClass", attrs.first)
    .count("allClasses", attrs.classes);
  kernel.function(rounding(words, x.dtype)).function(ignoring(targets));
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};

export const gradientSpecs = { gather_grad: gatherGrad, cross_entropy_grad: crossEntropyGrad, class_grad: classGrad };
