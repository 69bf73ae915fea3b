// Specs of the kernels that choose rows: a route is its rows, ascending, and the starts of the axis they make.
import { invariant } from "../../diagnostics/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { multiplySizes } from "../../size/size.js";
import type { Extents } from "../extents.js";
import type { Step } from "../plan.js";
import type { TopTuning } from "../tunings/top.js";
import { input, KernelBuilder, readValues, result, scratch, typeAt, work, type Operand, type Spec } from "./spec.js";

export const top: Spec<"top"> = ({ attrs, inputs, extents, tunings, prologue, places }) => {
  const tokens = extents.most(packedAxis(typeAt(inputs, 0).shape[0]!)!) ?? Infinity;
  const found = tunings.top.find(({ most }) => most === null || tokens <= most);
  invariant(found, "no tuning fits so many tokens");
  const onDevice = extents.onDevice(attrs.axis);
  const kernel = topKernel(found.tuning, extents).readAs("parent", "u32", places[1]!);
  readValues(kernel, prologue, { name: "score", type: "f32", place: places[0]! });
  kernel.read("kept", "u32", onDevice ? result(1) : { from: "counted", axis: attrs.axis });
  kernel.write("index", "u32", result(0)).write("positions", "u32", result(2)).count("batch", extents.batch);
  if (onDevice) return work([topStarts(attrs.axis, extents, places), kernel.function("fn publish(b: u32) {}").dispatch(extents.batch)]);
  kernel.write("starts", "u32", result(1)).function(PUBLISH);
  return work([kernel.dispatch(extents.batch)]);
};

function topKernel(tuning: TopTuning, extents: Extents): KernelBuilder {
  switch (tuning.kind) {
    case "workgroup":
      return new KernelBuilder("top", extents).constant("LANES", tuning.lanes);
    case "subgroup":
      return new KernelBuilder("top_subgroup", extents).subgroups(tuning.width).constant("WIDTH", tuning.width);
    default:
      return tuning satisfies never;
  }
}

const PUBLISH = `fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}`;

/** The starts of an axis made by `top`, from counts that only the device knows. */
function topStarts(axis: string, extents: Extents, places: readonly number[]): Step<Operand> {
  const kernel = new KernelBuilder("top_starts", extents).read("parent", "u32", input(places[1]!)).read("counting", "u32", input(places[2]!));
  return kernel.read("kTable", "u32", { from: "k", axis }).write("starts", "u32", result(1)).count("batch", extents.batch).dispatch(1);
}

export const above: Spec<"above"> = ({ inputs, extents, tunings }) => {
  const at = typeAt(inputs, 1).shape.length === 0 ? "0u" : "row";
  const reading = (file: string): KernelBuilder => {
    const kernel = new KernelBuilder(file, extents).read("score", "u32", input(0)).read("threshold", "u32", input(1)).read("parent", "u32", input(2));
    kernel.constant("LANES", tunings.reductions.lanes).count("batch", extents.batch);
    return kernel.function(`fn thresholdAt(row: u32) -> u32 { return threshold[${at}]; }`);
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
