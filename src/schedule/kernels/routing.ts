// Specs of the kernels that choose rows: a route is its rows, ascending, and the starts of the axis they make.
import { packedAxis } from "../../ir/typing.js";
import { multiplySizes } from "../../size/size.js";
import { input, KernelBuilder, result, scratch, typeAt, work, type Spec } from "./spec.js";

/** Invocations for sequences of at most so many tokens: barriers cost more with each, and a GPU needs many where sequences are long. */
const LANES: readonly (readonly [tokens: number, lanes: number])[] = [
  [1024, 32],
  [4096, 64],
];
const MOST_LANES = 256;

export const top: Spec<"top"> = ({ attrs, inputs, extents }) => {
  const tokens = extents.most(packedAxis(typeAt(inputs, 0).shape[0]!)!) ?? Infinity;
  const lanes = LANES.find(([most]) => tokens <= most)?.[1] ?? MOST_LANES;
  const kernel = new KernelBuilder("top", extents).read("score", "u32", input(0)).read("parent", "u32", input(1)).read("counting", "u32", input(2));
  kernel.read("kTable", "u32", { from: "k", axis: attrs.axis }).write("index", "u32", result(0)).write("starts", "u32", result(1));
  return work([kernel.constant("LANES", lanes).count("batch", extents.batch).dispatch(extents.batch)]);
};

export const above: Spec<"above"> = ({ inputs, extents }) => {
  const at = typeAt(inputs, 1).shape.length === 0 ? "0u" : "row";
  const reading = (file: string): KernelBuilder => {
    const kernel = new KernelBuilder(file, extents).read("score", "u32", input(0)).read("threshold", "u32", input(1)).read("parent", "u32", input(2));
    return kernel.count("batch", extents.batch).function(`fn thresholdAt(row: u32) -> u32 { return threshold[${at}]; }`);
  };
  const count = reading("above_count").write("counts", "u32", scratch());
  const write = reading("above").read("counts", "u32", scratch()).write("index", "u32", result(0)).write("starts", "u32", result(1));
  return work([count.dispatch(extents.batch), write.dispatch(extents.batch)], [multiplySizes(4, extents.batch)]);
};

export const span: Spec<"span"> = ({ attrs, extents }) => {
  const kernel = new KernelBuilder("span", extents).read("parent", "u32", input(0)).read("spans", "u32", { from: "span", axis: attrs.axis });
  kernel.write("index", "u32", result(0)).write("starts", "u32", result(1));
  return work([kernel.count("batch", extents.batch).dispatch(extents.batch)]);
};
