// Specs of recurrences along the rows of each sequence.
import { input, KernelBuilder, result, typeAt, work, type Spec } from "./spec.js";

const shiftedRows: Spec<"shifted_rows"> = ({ attrs: { by }, results, extents }) => {
  const kernel = new KernelBuilder("shifted_rows", extents)
    .read("starts", "u32", input(0))
    .write("index", "u32", result(0))
    .write("exists", "u32", result(1))
    .count("batch", extents.batch)
    .value("distance", Math.abs(by), "u32")
    .constant("BACK", by > 0 ? 1 : 0);
  return work([kernel.over(extents.product(typeAt(results, 0).shape))]);
};

export const recurrenceSpecs = { shifted_rows: shiftedRows };
