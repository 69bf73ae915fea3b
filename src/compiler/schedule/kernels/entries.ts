// Specs of the operators that choose entries of the last axis, gather them and add to them.
import { storageType } from "../codecs/words.js";
import { rowsTogether } from "./compute.js";
import { input, KernelBuilder, readValues, result, typeAt, work, type Spec } from "./spec.js";

const topEntries: Spec<"top_entries"> = ({ attrs, inputs, extents, tunings }) => {
  const { shape } = typeAt(inputs, 0);
  const [rows, among] = [extents.product(shape.slice(0, -1)), shape.at(-1)!];
  const kernel = new KernelBuilder("top_entries", extents)
    .read("score", "u32", input(0))
    .write("index", "u32", result());
  const together = rowsTogether(kernel, among, tunings.reductions);
  kernel.count("rowCount", rows).count("among", among).count("chosen", attrs.k);
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};

const thoseEntries: Spec<"those_entries"> = ({ inputs, extents, tunings }) => {
  const { shape } = typeAt(inputs, 0);
  const kernel = new KernelBuilder("those_entries", extents)
    .read("chosen", "u32", input(0))
    .write("index", "u32", result());
  const count = extents.product(shape);
  kernel.count("count", count).count("among", shape.at(-1)!);
  return work([kernel.spread(count, tunings.elements)]);
};

const takeEntries: Spec<"take_entries"> = ({ inputs, results, extents, tunings }) => {
  const y = typeAt(results, 0);
  const kernel = new KernelBuilder("take_entries", extents)
    .read("x", "u32", input(0))
    .read("index", "u32", input(1))
    .write("y", "u32", result());
  const count = extents.product(y.shape);
  kernel.count("count", count).count("among", typeAt(inputs, 0).shape.at(-1)!).count("chosen", y.shape.at(-1)!);
  return work([kernel.spread(count, tunings.elements)]);
};

const putEntries: Spec<"put_entries"> = ({ inputs, extents, tunings, prologue, places }) => {
  const [x, index] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const type = storageType(x.dtype);
  const kernel = new KernelBuilder("put_entries", extents)
    .readAs("index", "u32", places[1]!)
    .readAs("update", type, places[2]!);
  readValues(kernel, prologue, { name: "x", type, place: places[0]! }).write("y", type, result());
  const count = extents.product(x.shape);
  kernel
    .alias("Value", type)
    .count("count", count)
    .count("among", x.shape.at(-1)!)
    .count("chosen", index.shape.at(-1)!)
    .function(`fn added(a: Value, b: Value) -> Value { return ${x.dtype === "f16" ? "modc_f16(a + b)" : "a + b"}; }`);
  return work([kernel.spread(count, tunings.elements)]);
};

export const entrySpecs = {
  top_entries: topEntries,
  those_entries: thoseEntries,
  take_entries: takeEntries,
  put_entries: putEntries,
};
