// The spec of attention.
import { invariant } from "../../diagnostics/invariant.js";
import { input, KernelBuilder, result, roundedTo, typeAt, work, type Spec } from "./spec.js";

export const attention: Spec<"attention"> = ({ attrs, inputs, results, extents }) => {
  const [q, k, v, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(inputs, 2), typeAt(results, 0)];
  const [heads, shared, width, widthV] = [q.shape[0], k.shape[0], q.shape[2], v.shape[2]];
  invariant(
    typeof heads === "number" && typeof shared === "number" && typeof width === "number" && typeof widthV === "number",
    "heads and their width are known",
  );
  const kernel = new KernelBuilder("attention", extents).read("q", "f32", input(0)).read("k", "f32", input(1)).read("v", "f32", input(2));
  kernel
    .read("startsQ", "u32", input(3))
    .read("startsK", "u32", input(4))
    .read("positionsQ", "u32", input(5))
    .read("positionsK", "u32", input(6))
    .write("y", "f32", result());
  kernel.constant("WIDTH", width).constant("WIDTH_V", widthV);
  kernel
    .count("heads", heads)
    .count("groupSize", heads / shared)
    .count("batch", extents.batch)
    .value("scale", attrs.scale, "f32");
  const seen: string[] = [];
  if (attrs.causal) seen.push("j <= i");
  if (attrs.window > 0) {
    kernel.count("window", attrs.window);
    seen.push("max(i, j) - min(i, j) < window()");
  }
  kernel.function(`fn sees(i: u32, j: u32) -> bool { return ${seen.join(" && ") || "true"}; }`).function(roundedTo(y.dtype));
  return work([kernel.over(extents.times(heads, y.shape[1]!))]);
};
