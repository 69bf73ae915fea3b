// Specs of gradients: of weights, of tables and of the loss.
import { input, KernelBuilder, readValues, result, roundedTo, scratch, typeAt, work, type Spec } from "./spec.js";
import { rowsTogether } from "./compute.js";

/** Rows and columns of a tile. */
const PLAIN_TILE = 4;

export const contract: Spec<"contract"> = ({ inputs, extents }) => {
  const [a, b] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const [depth, rows, columns] = [a.shape[0]!, a.shape[1]!, b.shape[1]!];
  const kernel = new KernelBuilder("contract", extents).count("depth", depth).count("rowCount", rows).count("columnCount", columns);
  kernel
    .read("a", "f32", input(0))
    .function(rowsOf("A", "a", "rowCount"))
    .read("b", "f32", input(1))
    .function(rowsOf("B", "b", "columnCount"))
    .write("y", "f32", result())
    .function(roundedTo(a.dtype))
    .function(FINISH);
  return work([kernel.over(extents.times(extents.ceilDivide(rows, PLAIN_TILE), extents.ceilDivide(columns, PLAIN_TILE)))]);
};

/** The elements of an operand as they lie. */
const rowsOf = (letter: string, buffer: string, width: string): string => `struct Row${letter} { at: u32 }
fn row${letter}(n: u32) -> Row${letter} { return Row${letter}(n * ${width}()); }
alias Col${letter} = u32;
fn col${letter}(k: u32) -> Col${letter} { return k; }
fn value${letter}(r: Row${letter}, c: Col${letter}, k: u32) -> f32 { return ${buffer}[r.at + k]; }`;

const FINISH = `fn finish(row: u32, column: u32, x: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) { y[row * columnCount() + column + i] = rounded(x[i]); }
  }
}`;

export const gatherGrad: Spec<"gather_grad"> = ({ attrs, inputs, results, extents, prologue, places }) => {
  const [indices, y] = [typeAt(inputs, 0), typeAt(results, 0)];
  const count = extents.product(indices.shape);
  const width = extents.product(y.shape.slice(1));
  const links = new KernelBuilder("gather_links", extents).read("indices", "u32", input(places[0]!));
  links.write("first", "u32", scratch(0)).write("next", "u32", scratch(1)).count("count", count).count("tableRows", attrs.rows);
  const sums = new KernelBuilder("gather_grad", extents);
  readValues(sums, prologue, { name: "dy", type: "f32", place: places[1]! });
  sums.read("first", "u32", scratch(0)).read("next", "u32", scratch(1)).write("y", "f32", result());
  sums.count("count", count).count("tableRows", attrs.rows).count("width", width).function(roundedTo(y.dtype));
  return work([links.over(attrs.rows), sums.over(extents.product(y.shape))], [extents.bytes({ dtype: "u32", shape: [attrs.rows] }), extents.bytes(indices)]);
};

export const crossEntropyGrad: Spec<"cross_entropy_grad"> = ({ inputs, extents, tunings, inPlace }) => {
  const [x, targets] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const rows = extents.product(targets.shape);
  const kernel = new KernelBuilder("cross_entropy_grad", extents);
  const taken = inPlace[0] ?? false;
  if (!taken) kernel.read("x", "f32", input(0));
  kernel.read("targets", "u32", input(1)).read("dloss", "f32", input(2)).write("dx", "f32", result());
  kernel.function(`fn value(i: u32) -> f32 { return ${taken ? "dx" : "x"}[i]; }`);
  const classes = x.shape.at(-1)!;
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel.count("rowCount", rows).count("classes", classes).function(roundedTo(x.dtype));
  kernel.function(`fn ignored(bits: u32) -> bool { return ${targets.dtype === "i32" ? "bits >= 0x80000000u" : "false"}; }`);
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};
