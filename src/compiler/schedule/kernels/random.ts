// Specs of the kernels that make random values (`size/philox.ts`).
import { equalSizes, type Size } from "../../../ground/size/size.js";
import { stridesOf } from "../addressing/index-map.js";
import { input, KernelBuilder, result, work, type Spec } from "./spec.js";

const random =
  (file: "random_uniform" | "random_normal"): Spec<"random_uniform" | "random_normal"> =>
  ({ attrs: { shape, dim, stream }, extents }) => {
    const skipped = shape.map((s, d) => d === dim || (extents.batch !== 1 && equalSizes(s, extents.batch)));
    const channels = stridesOf(
      extents,
      shape.map((s, d) => (skipped[d] ? 1 : s)),
    ).map((s, d) => (skipped[d] ? 0 : s));
    const rows = shape.map((_, d): Size => (d === dim ? 1 : 0));
    const count = extents.product(shape);
    const kernel = new KernelBuilder(file, extents).read("seed", "u32", input(0));
    if (dim !== null) kernel.read("positions", "u32", input(1));
    kernel
      .write("y", "f32", result())
      .count("count", count)
      .value("stream", stream, "u32")
      .index("channel", shape, channels);
    if (dim === null) kernel.function("fn position(i: u32) -> u32 { return 0u; }");
    else kernel.index("row", shape, rows).function("fn position(i: u32) -> u32 { return positions[row(i)]; }");
    return work([kernel.over(count)]);
  };

const randomUniform: Spec<"random_uniform"> = random("random_uniform");
const randomNormal: Spec<"random_normal"> = random("random_normal");

export const randomSpecs = { random_uniform: randomUniform, random_normal: randomNormal };
