// The spec of `received`: the sums of queries' exponentials, then the sums of keys' shares.
import { invariant } from "../../base/invariant.js";
import type { Step } from "../plan.js";
import { declareSight } from "./attention-sight.js";
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

const received: Spec<"received"> = (context) => {
  const { inputs, extents } = context;
  const [heads, rows] = typeAt(inputs, 0).shape;
  const keys = typeAt(inputs, 1).shape[1];
  invariant(heads !== undefined && rows !== undefined && keys !== undefined, "q and k are [heads, rows, width]");
  const sums = kernelOf("score_sums", context).write("lse", "f32", scratch());
  const shares = kernelOf("received", context).read("lse", "f32", scratch()).write("y", "f32", result());
  const steps: readonly Step<Operand>[] = [
    sums.dispatch(extents.times(heads, rows)),
    shares.dispatch(extents.times(heads, keys)),
  ];
  return work(steps, [extents.times(4, extents.times(heads, rows))]);
};

/** A kernel of this file with what both read. */
function kernelOf(file: string, { attrs, inputs, extents, tunings }: KernelContext<"received">): KernelBuilder {
  const [heads, , width] = typeAt(inputs, 0).shape;
  const groups = typeAt(inputs, 1).shape[0];
  invariant(
    typeof heads === "number" && typeof groups === "number" && typeof width === "number",
    "heads and their width are known",
  );
  const kernel = new KernelBuilder(file, extents)
    .read("q", "f32", input(0))
    .read("k", "f32", input(1))
    .read("startsQ", "u32", input(2))
    .read("startsK", "u32", input(3))
    .read("positionsQ", "u32", input(4))
    .read("positionsK", "u32", input(5))
    .constant("LANES", tunings.reductions.lanes)
    .constant("WIDTH", width)
    .count("heads", heads)
    .count("groupSize", heads / groups)
    .count("batch", extents.batch)
    .value("scale", attrs.scale, "f32");
  declareSight(kernel, attrs);
  return kernel;
}

/** By operator. */
export const receivedSpecs = { received };
