// Specs of the kernels that move values as 32-bit words, shared by all dtypes.
import { DEFAULT_LIMITS } from "../../../runtime/program/target.js";
import { multiplySizes, addSizes, type Size } from "../../../ground/size/size.js";
import { stridesOf } from "../addressing/index-map.js";
import { rounding } from "../codecs/codec.js";
import { inBuffer } from "../codecs/elements.js";
import { storageType, words } from "../codecs/words.js";
import type { Buffer, Step } from "../plan/plan.js";
import {
  around,
  input,
  KernelBuilder,
  readValues,
  result,
  scratch,
  typeAt,
  work,
  type Operand,
  type Spec,
  type Stored,
} from "./spec.js";

/** Buffers that any device can bind. */
const MOST_BUFFERS = DEFAULT_LIMITS.storageBuffersPerStage;

const concat: Spec<"concat"> = ({ attrs, inputs, results, extents, tunings }) => {
  const all = around(extents, typeAt(results, 0).shape, attrs.axis);
  const widths = inputs.map((_, i) => extents.times(typeAt(inputs, i).shape[attrs.axis]!, all.inner));
  const total = (sizes: readonly Size[]): Size => sizes.reduce((sum, size) => addSizes(sum, size), 0);
  // Bindings in addition to the parts: the result, and starts if only the device knows the number of rows. If only the
  // device knows the number of columns, one part at a time is copied.
  const most = widths.some((w) => extents.deviceSize(w)) ? 1 : MOST_BUFFERS - (extents.deviceSize(all.outer) ? 2 : 1);
  const steps: Step<Operand>[] = [];
  for (let first = 0; first < widths.length; first += most) {
    const batch = widths.slice(first, first + most);
    const width = total(batch);
    const kernel = new KernelBuilder("place", extents);
    batch.forEach((_, i) => kernel.read(`x${i}`, "u32", input(first + i)));
    kernel.write("y", "u32", result());
    kernel
      .count("outer", all.outer)
      .count("width", width)
      .count("stride", extents.times(all.rows, all.inner))
      .count("offset", total(widths.slice(0, first)));
    const parts = batch.map((size, i) => {
      const before = i === 0 ? "" : ` - ${kernel.size(total(batch.slice(0, i)))}`;
      const value = `return x${i}[row * ${batch.length === 1 ? "width()" : kernel.size(size)} + at${before}];`;
      return i === batch.length - 1
        ? `  ${value}\n`
        : `  if (at < ${kernel.size(total(batch.slice(0, i + 1)))}) { ${value} }\n`;
    });
    kernel.function(`fn partAt(row: u32, at: u32) -> u32 {\n${parts.join("")}}`);
    steps.push(kernel.spread(extents.times(all.outer, width), tunings.elements));
  }
  return work(steps);
};

const gather: Spec<"gather"> = ({ inputs, results, extents, tunings, stored }) => {
  const [table, indices] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const width = extents.product(table.shape.slice(1));
  const { fours, values, word, functions } = wordsOf(stored, typeof width === "number" && width % 4 === 0);
  const wordsIn = (size: Size): Size => (fours ? extents.ceilDivide(size, 4) : size);
  const kernel = new KernelBuilder("gather", extents)
    .read("values", values, input(0))
    .read("indices", "u32", input(1))
    .write("y", word, result());
  for (const wgsl of [`alias Word = ${word};`, ...functions]) kernel.function(wgsl);
  kernel
    .count("rowCount", extents.product(indices.shape))
    .count("width", wordsIn(width))
    .count("tableRows", table.shape[0]!);
  return work([kernel.spread(wordsIn(extents.product(typeAt(results, 0).shape)), tunings.elements)]);
};

interface Moved {
  /** Whether four elements of a row are moved at once, with one read of the index. */
  readonly fours: boolean;
  /** The element type of the table's and result's buffers. */
  readonly values: Buffer["element"];
  readonly word: Buffer["element"];
  /** `fn wordAt(at: u32) -> Word`, and what it calls. */
  readonly functions: readonly string[];
}

/** The elements that a gather moves: plain words, unless table and result have different encodings. */
function wordsOf({ reads, writes, packed }: Stored, inFours: boolean): Moved {
  const [from, to] = [reads[0]!, writes[0]!];
  const fours = inFours && to === words && (packed !== null || from === words);
  const wordAt = (value: string): string => `fn wordAt(at: u32) -> Word { return ${value}; }`;
  if (packed && fours) {
    const read = packed.readFour("packedAt", inBuffer("values"), 1);
    return { fours, values: packed.four, word: "vec4u", functions: [read, wordAt("bitcast<vec4u>(packedAt(at))")] };
  }
  if (packed) {
    const functions = [packed.readOne("packedAt", "values", 1), wordAt(to.store("packedAt(at)", "f32"))];
    return { fours, values: packed.one, word: to.element("f32"), functions };
  }
  if (from !== to) {
    const functions = [wordAt(to.store(from.load("values[at]"), "f32"))];
    return { fours, values: from.element("f32"), word: to.element("f32"), functions };
  }
  const word = fours ? "vec4u" : to.element("u32");
  return { fours, values: word, word, functions: [wordAt("values[at]")] };
}

/** Adds or replaces rows of a copy of x, or of x itself where nothing else reads it. */
const scatter =
  (merge: string): Spec<"put" | "set"> =>
  ({ attrs, inputs, extents, tunings, inPlace, prologue, places, stored }) => {
    const [x, u] = [typeAt(inputs, 0), typeAt(inputs, 2)];
    const from = around(extents, x.shape, attrs.dim);
    const rows = u.shape[attrs.dim]!;
    const type = storageType(x.dtype);
    const kernel = new KernelBuilder("put", extents).write("x", type, result()).readAs("index", "u32", places[1]!);
    readValues(kernel, prologue, { name: "u", type, place: places[2]!, codec: stored.reads[places[2]!] });
    kernel
      .alias("Value", type)
      .count("outer", from.outer)
      .count("rowsFrom", from.rows)
      .count("rowsTo", rows)
      .count("inner", from.inner);
    kernel.function(
      "fn merge(old: Value, update: Value) -> Value { return " +
        `${x.dtype === "f16" && merge !== "update" ? `modc_f16(${merge})` : merge}; }`,
    );
    const dispatch = kernel.spread(extents.product(u.shape), tunings.elements);
    return work(
      inPlace[0]
        ? [dispatch]
        : [{ kind: "copy", from: input(places[0]!), to: result(), bytes: extents.bytes(x) }, dispatch],
    );
  };

const put: Spec<"put"> = scatter("old + update");
const set: Spec<"set"> = scatter("update");

const routeMask: Spec<"route_mask"> = ({ inputs, results, extents }) => {
  const index = typeAt(inputs, 0);
  const kernel = new KernelBuilder("route_mask", extents).read("index", "u32", input(0)).write("y", "u32", result());
  const count = extents.product(index.shape);
  return work([
    { kind: "clear", to: result(), bytes: extents.bytes(typeAt(results, 0)) },
    kernel.count("rowCount", count).over(count),
  ]);
};

const rowsOfStarts =
  (value: string): Spec<"positions" | "segments"> =>
  ({ results, extents }) => {
    const kernel = new KernelBuilder("segments", extents).read("starts", "u32", input(0)).write("y", "u32", result());
    kernel.count("batch", extents.batch).function(`fn value(n: u32, sequence: u32) -> u32 { return ${value}; }`);
    return work([kernel.over(extents.product(typeAt(results, 0).shape))]);
  };

const positions: Spec<"positions"> = rowsOfStarts("n - starts[sequence]");
const segments: Spec<"segments"> = rowsOfStarts("sequence");

const append: Spec<"append"> = ({ inputs, results, extents }) => {
  const kernel = new KernelBuilder("segments", extents, "append")
    .read("starts", "u32", input(1))
    .read("counts", "u32", input(0));
  if (inputs.length === 3) kernel.read("longer", "u32", input(2));
  kernel.write("y", "u32", result()).count("batch", extents.batch);
  kernel.function(
    "fn value(n: u32, sequence: u32) -> u32 { return " +
      `${inputs.length === 3 ? "longer[sequence] + " : ""}counts[sequence] + n - starts[sequence]; }`,
  );
  return work([kernel.over(extents.product(typeAt(results, 0).shape))]);
};

const counts: Spec<"counts"> = ({ extents }) => {
  const kernel = new KernelBuilder("counts", extents).read("starts", "u32", input(0)).write("y", "u32", result());
  return work([kernel.count("batch", extents.batch).over(extents.batch)]);
};

const last: Spec<"last"> = ({ results, extents, tunings }) => {
  const kernel = new KernelBuilder("pointwise", extents, "last")
    .read("starts", "u32", input(0))
    .write("y", "u32", result());
  const count = extents.product(typeAt(results, 0).shape);
  kernel.count("count", count).function("fn value(i: u32) -> u32 { return max(starts[i + 1u], 1u) - 1u; }");
  return work([kernel.spread(count, tunings.elements)]);
};

/** Declares the extents that map [B, outer, T, inner] to its packed rows. */
function sideBySide(kernel: KernelBuilder, outer: Size, longest: Size, inner: Size, batch: Size): KernelBuilder {
  return kernel.count("batch", batch).count("outer", outer).count("longest", longest).count("inner", inner);
}

const unpack: Spec<"unpack"> = ({ attrs, results, extents }) => {
  const y = typeAt(results, 0);
  const { outer, rows, inner } = around(extents, y.shape.slice(1), attrs.dim);
  const kernel = new KernelBuilder("unpack", extents)
    .read("x", "u32", input(0))
    .read("starts", "u32", input(1))
    .write("y", "u32", result());
  return work([sideBySide(kernel, outer, rows, inner, extents.batch).over(extents.product(y.shape))]);
};

const pack: Spec<"pack"> = ({ attrs, inputs, results, extents }) => {
  const { outer, rows, inner } = around(extents, typeAt(inputs, 0).shape.slice(1), attrs.dim);
  const kernel = new KernelBuilder("pack", extents)
    .read("x", "u32", input(0))
    .read("starts", "u32", input(1))
    .write("y", "u32", result());
  return work([sideBySide(kernel, outer, rows, inner, extents.batch).over(extents.product(typeAt(results, 0).shape))]);
};

const mask: Spec<"mask"> = ({ attrs, inputs, extents }) => {
  const x = typeAt(inputs, 0);
  const { outer, rows, inner } = around(extents, x.shape.slice(1), attrs.dim - 1);
  const kernel = new KernelBuilder("mask", extents)
    .read("x", "u32", input(0))
    .read("starts", "u32", input(1))
    .write("y", "u32", result());
  sideBySide(kernel, outer, rows, inner, extents.batch);
  const type = storageType(x.dtype);
  const field = kernel.word(attrs.fill, x.dtype, "fillValue");
  kernel.function(`fn fill() -> u32 { return ${type === "u32" ? `sizes.${field}` : `bitcast<u32>(sizes.${field})`}; }`);
  return work([kernel.over(extents.product(x.shape))]);
};

/**
 * starts(axis)[b] = Σ over the parts of starts(part)[b]; part p begins in sequence b where the counts of the parts
 * before it end.
 */
const join: Spec<"join"> = ({ inputs, results, extents }) => {
  const entries = addSizes(extents.batch, 1);
  const add = (value: string, part: number, to: Operand, count: Size): Step<Operand> => {
    const kernel = new KernelBuilder("accumulate", extents)
      .read("starts", "u32", input(part))
      .write("total", "u32", to);
    return kernel.count("count", count).function(`fn value(i: u32) -> u32 { return ${value}; }`).over(count);
  };
  const bytes = multiplySizes(4, entries);
  const steps: Step<Operand>[] = [{ kind: "clear", to: result(0), bytes }];
  inputs.forEach((_, part) => steps.push(add("starts[i]", part, result(0), entries)));
  steps.push({ kind: "copy", from: result(0), to: scratch(), bytes });
  inputs.forEach((_, part) => {
    const rows = new KernelBuilder("join_rows", extents)
      .read("starts", "u32", input(part))
      .read("ahead", "u32", scratch())
      .write("index", "u32", result(1 + part));
    steps.push(rows.count("batch", extents.batch).over(extents.product(typeAt(results, 1 + part).shape)));
    if (part + 1 < inputs.length) steps.push(add("starts[i + 1u] - starts[i]", part, scratch(), extents.batch));
  });
  return work(steps, [bytes]);
};

const rope: Spec<"rope"> = ({ inputs, results, extents, tunings, prologue, places, stored, resultViews }) => {
  const x = typeAt(inputs, 0);
  const width = x.shape.at(-1)!;
  const rows = x.shape.at(-2)!;
  const to = stored.writes[0]!;
  const kernel = new KernelBuilder("rope", extents)
    .readAs("positions", "u32", places[1]!)
    .readAs("angles", "f32", places[2]!);
  readValues(kernel, prologue, { name: "x", type: "f32", place: places[0]!, codec: stored.reads[places[0]!] }).write(
    "y",
    to.element("f32"),
    result(),
  );
  const outer = extents.product(x.shape.slice(0, -2));
  const pairs = typeof width === "number" ? width / 2 : extents.ceilDivide(width, 2);
  kernel
    .count("outer", outer)
    .count("rowCount", rows)
    .count("halfWidth", pairs)
    .function(rounding(to, typeAt(results, 0).dtype));
  const lead = x.shape.slice(0, -1);
  const strides = resultViews[0]?.strides ?? stridesOf(extents, x.shape);
  kernel.index("placeOf", lead, strides.slice(0, -1)).count("columns", strides.at(-1)!);
  return work([kernel.spread(extents.times(extents.times(outer, rows), pairs), tunings.elements)]);
};

export const movementSpecs = {
  concat,
  gather,
  positions,
  segments,
  append,
  counts,
  last,
  unpack,
  pack,
  mask,
  join,
  put,
  set,
  route_mask: routeMask,
  rope,
};
