// Specs of recurrences along the rows of each sequence.
import { stridesOf } from "../addressing/index-map.js";
import { around, input, KernelBuilder, readValues, result, typeAt, work, type Spec } from "./spec.js";

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

/** Invocations of a workgroup: each goes through all rows of a sequence, so few sequences still fill several cores. */
const SCAN_LANES = 32;

const scan: Spec<"scan"> = ({ attrs: { dim, reverse }, inputs, extents, views, prologue, places }) => {
  const { shape } = typeAt(inputs, 0);
  const { outer, inner } = around(extents, shape, dim);
  const kernel = new KernelBuilder("scan", extents).readAs("starts", "u32", places[1]!);
  if (inputs.length === 3) kernel.readAs("decay", "f32", places[2]!);
  readValues(kernel, prologue, { name: "x", type: "f32", place: places[0]! }).write("y", "f32", result());
  kernel.count("batch", extents.batch).count("outer", outer).count("inner", inner);
  if (inputs.length === 3) {
    const { strides, offset } = views[2] ?? { strides: stridesOf(extents, shape), offset: 0 };
    const isColumn = (_: unknown, d: number): boolean => d !== dim;
    kernel
      .index("decayPlace", shape.filter(isColumn), strides.filter(isColumn), offset)
      .count("decayRows", strides[dim]!)
      .function("fn factor(place: u32, row: u32) -> f32 { return exp(decay[place + row * decayRows()]); }");
  } else
    kernel
      .function("fn decayPlace(column: u32) -> u32 { return 0u; }")
      .function("fn factor(place: u32, row: u32) -> f32 { return 1.0; }");
  kernel.constant("LANES", SCAN_LANES).constant("REVERSE", Number(reverse));
  const columns = extents.times(outer, inner);
  return work([kernel.dispatch(extents.ceilDivide(extents.times(extents.batch, columns), SCAN_LANES))]);
};

export const recurrenceSpecs = { shifted_rows: shiftedRows, scan };
