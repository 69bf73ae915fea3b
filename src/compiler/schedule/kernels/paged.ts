// Specs of the tables of caches in pages.
import { input, KernelBuilder, result, typeAt, work, type Spec } from "./spec.js";

const pagedAppend: Spec<"paged_append"> = ({ attrs, inputs, results, extents }) => {
  const kernel = new KernelBuilder("segments", extents, "paged_append")
    .read("starts", "u32", input(1))
    .read("counts", "u32", input(0))
    .read("pages", "u32", input(2))
    .write("y", "u32", result())
    .constant("PAGE", attrs.page)
    .count("batch", extents.batch)
    .count("pagesEach", typeAt(inputs, 2).shape[1]!);
  kernel.function(
    "fn value(n: u32, sequence: u32) -> u32 {\n  let i = counts[sequence] + n - starts[sequence];\n" +
      "  return pages[sequence * pagesEach() + min(i / PAGE, pagesEach() - 1u)] * PAGE + i % PAGE;\n}",
  );
  return work([kernel.over(extents.product(typeAt(results, 0).shape))]);
};

const pagedKeys: Spec<"paged_keys"> = ({ attrs, inputs, results, extents }) => {
  const kernel = new KernelBuilder("paged_keys", extents)
    .read("starts", "u32", input(0))
    .read("counts", "u32", input(1))
    .read("pages", "u32", input(2));
  const hasPositions = inputs.length === 4;
  if (hasPositions) kernel.read("positions", "u32", input(3));
  kernel
    .write("keys", "u32", result())
    .constant("PAGE", attrs.page)
    .count("batch", extents.batch)
    .count("pagesEach", typeAt(inputs, 2).shape[1]!)
    .function(`fn positionAt(i: u32, row: u32) -> u32 { return ${hasPositions ? "positions[row]" : "i"}; }`);
  return work([kernel.over(typeAt(results, 0).shape[0]!)]);
};

/** By operator; `paged_attention` is with the other attentions. */
export const pagedSpecs = { paged_append: pagedAppend, paged_keys: pagedKeys };
