// Prints a product kernel's epilogues as WGSL: `finish` for four neighbouring columns, and `keep` for row sums over a
// panel; for kernels that take before they store, `take` too.
import type { DType } from "../../../ground/base/dtype.js";
import type { Expression, Leaf } from "../addressing/expression.js";
import { sumsType } from "../kernels/declare-rows.js";
import { dtypeAt, RowText, structFunction, stored, reachOf, type Inputs } from "../kernels/expression-text.js";
import type { Extents } from "../analysis/extents.js";
import type { ElementCodec } from "../codecs/codec.js";
import { takenParameters, type Taking } from "../kernels/product-texts.js";
import { result, type KernelBuilder } from "../kernels/spec.js";
import { callsOf, columnIn, withinSlice } from "./column-pairs.js";
import type { Bound, SliceText, TakenText } from "./epilogue.js";
import type { FusedColumns } from "./fusion.js";
import { takenAhead } from "./taken-ahead.js";
import { divideSizes, isWhole, type Size } from "../../../ground/size/size.js";

/** A slice with the kernel's inputs and results as numbers. */
export interface BoundColumns {
  readonly columns: FusedColumns;
  /** Over [rows, columns of the slice], with accumulators as registers. It has a result for each epilogue, in order. */
  readonly expression: Expression;
  readonly epilogues: readonly Bound[];
}

interface FinishOptions {
  readonly extents: Extents;
  readonly pairs: number;
  readonly inputs: Inputs;
  readonly codecs: readonly ElementCodec[];
  /** Inputs that are read by more than the slices' expressions. */
  readonly apart: ReadonlySet<number>;
  readonly taking: Taking;
}

/** Declares `Sums`, `ROW_SUMS`, `finish` and `keep`. */
export function declareFinish(kernel: KernelBuilder, slices: readonly BoundColumns[], options: FinishOptions): void {
  const { pairs, codecs } = options;
  const sums = slices.flatMap((s) => s.epilogues.filter((e) => e.kind === "sum"));
  kernel.function(`alias Sums = ${sumsType(sums.length)};`).constant("ROW_SUMS", sums.length);
  const results = new Map<number, DType>();
  for (const { epilogues, expression } of slices)
    epilogues.forEach((e, i) => results.set(e.result, dtypeAt(expression, expression.results[i]!)));
  for (const s of sums) results.set(s.result, "f32");
  for (const [index, dtype] of [...results].toSorted(([a], [b]) => a - b))
    kernel.write(`y${index}`, codecs[index]!.element(dtype), result(index));
  const blocks = slices.map((s, n) => blockOf(kernel, s, n, options));
  const stores = blocks.map((b) => (typeof b === "string" ? b : b.stores));
  const body =
    pairs === 0
      ? stores
      : [
          `  let group = column - column % ${kernel.size(2 * pairs)};\n  let first = group + (column - group) / 2u;\n`,
          ...stores,
        ];
  if (options.taking !== null)
    declareTake(
      kernel,
      pairs,
      blocks.filter((b) => typeof b !== "string"),
      options.taking === "ahead",
    );
  kernel.function(
    `fn finish(batch: u32, row: u32, column: u32, x: vec4f${takenParameters(options.taking)}) -> Sums ` +
      `{\n  var sums = Sums();\n${body.join("")}  return sums;\n}`,
  );
  const keptSums = sums.map((sum, i) => sum.keep(kernel, sums.length === 1 ? "sums" : `sums[${i}]`));
  kernel.function(`fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {\n${keptSums.join("")}}`);
}

/** Prints the function of a slice, and the statements of `finish` that call it. */
function blockOf(
  kernel: KernelBuilder,
  { columns, expression, epilogues }: BoundColumns,
  n: number,
  { extents, pairs, inputs, codecs, apart, taking }: FinishOptions,
): string | TakenText {
  const { start, stop } = columns.slice;
  if (taking === "ahead") {
    const text = new RowText(kernel, expression, extents, inputs, `f${n}`, "apart");
    return takenAhead({ kernel, expression, text, slice: columns.slice, n, pairs, codecs }, epilogues);
  }
  const takes = taking !== null;
  const inFours = takes && pairs === 0 && start % 4 === 0 && stop % 4 === 0;
  if (inFours && splitsInFours(kernel, expression, inputs, apart)) {
    const text = new RowText(kernel, expression, extents, inputs, `f${n}`, "fours");
    return takenFours({ kernel, expression, text, slice: columns.slice, n, pairs, place: 0, codecs }, epilogues);
  }
  const text = new RowText(kernel, expression, extents, inputs, `f${n}`);
  // Print the lines first: names they use become fields of the structs printed below.
  for (const index of expression.results) text.name(index);
  kernel.function(structFunction(`RowF${n}`, `rowF${n}(row: u32)`, text.rowFields, text.rowLines));
  kernel.function(structFunction(`ColF${n}`, `colF${n}(k: u32)`, text.columnFields, text.columnLines));
  const lines = [`let c = colF${n}(k);`, ...text.lines].map((l) => `  ${l}\n`).join("");
  const { slice } = columns;
  const slices = epilogues.map((_, i): SliceText => ({
    kernel,
    expression,
    text,
    slice,
    n,
    pairs,
    place: expression.results[i]!,
    codecs,
  }));
  const [first] = epilogues;
  if (first?.kind === "pairs") {
    kernel.function(
      `fn frame${n}(r: RowF${n}, row: u32, k: u32, register0: f32) -> f32 {\n${lines}  return ` +
        `${text.name(expression.results[0]!)};\n}`,
    );
    return takes ? first.taking(slices[0]!) : first.wgsl(slices[0]!);
  }
  const stores = epilogues.flatMap((e, i) => (e.kind === "statement" ? [`  ${e.wgsl(slices[i]!)}\n`] : []));
  const summed = epilogues.flatMap((e, i) => (e.kind === "sum" ? [text.name(expression.results[i]!)] : []));
  const returned = summed.length === 0 ? "Sums()" : summed.length === 1 ? summed[0]! : `Sums(${summed.join(", ")})`;
  const registers = slice.second === null ? "register0: f32" : "register0: f32, register1: f32";
  kernel.function(
    `fn frame${n}(r: RowF${n}, row: u32, k: u32, ${registers}) -> Sums {\n${lines}${stores.join("")}  return ` +
      `${returned};\n}`,
  );
  return callsOf(kernel, columns, n, pairs, takes);
}

type Field = TakenText["fields"][number];

/** Declares `Taken` and `take`, which may be called for any row and column of the product; `ahead`: without sums. */
function declareTake(kernel: KernelBuilder, pairs: number, slices: readonly TakenText[], ahead: boolean): void {
  const fields = slices.flatMap((s) => s.fields);
  kernel.function(`struct Taken { ${fields.map((f) => `${f.name}: ${f.type}`).join(", ") || "unused: u32"} }`);
  if (pairs > 0)
    kernel.function(`fn pairBegin(column: u32) -> u32 {
  let group = column - column % ${kernel.size(2 * pairs)};
  return group + (column - group) / 2u;
}`);
  const lines = slices.flatMap((s) => s.lines).map((l) => `  ${l}\n`);
  kernel.function(
    `fn take(batch: u32, row: u32, column: u32${ahead ? "" : ", x: vec4f"}) -> Taken {\n${lines.join("")}  return ` +
      `Taken(${fields.map((f) => f.value).join(", ") || "0u"});\n}`,
  );
}

const LANES = ["x", "y", "z", "w"] as const;

/** A slice whose expression splits in fours: all that its statements store is computed by `take`. */
function takenFours(own: SliceText, epilogues: readonly Bound[]): TakenText {
  const { kernel, expression, text, slice, n, codecs } = own;
  const row = `t${n}`;
  // Print the lines first: names they use become fields of the structs printed below.
  const names = expression.results.map((place) => text.name(place));
  kernel.function(structFunction(`RowF${n}`, `rowF${n}(row: u32)`, text.rowFields, text.rowLines));
  kernel.function(structFunction(`ColF${n}`, `colF${n}(k: u32)`, text.columnFields, text.columnLines));
  const parts = epilogues.map((e, i): { readonly fields: readonly Field[]; readonly line: string } => {
    const [name, dtype] = [names[i]!, dtypeAt(expression, expression.results[i]!)];
    const value = `${row}value${i}`;
    if (e.kind !== "statement") {
      const terms = LANES.map((lane) => `taken.${value}.${lane}`);
      return { fields: [{ name: value, type: "vec4f", value: name }], line: terms.join(" + ") };
    }
    const { stride, offset, index, adds } = e.into;
    const sourceRow = index === null ? null : `${kernel.inputOnce(index, "u32")}[row]`;
    const at = (of: string): string =>
      `${of} * ${kernel.size(stride)}${offset === 0 ? "" : ` + ${kernel.size(offset)}`} + k`;
    const buffer = `y${e.result}`;
    const before = (c: number): string => `${buffer}[${at(sourceRow ?? "row")} + ${c}u]`;
    const fields = [
      {
        name: value,
        type: "vec4f",
        value: adds ? `vec4f(${[0, 1, 2, 3].map(before).join(", ")}) + ${name}` : name,
      },
      ...(sourceRow === null ? [] : [{ name: `${row}index${i}`, type: "u32", value: sourceRow }]),
    ];
    const wordOffset = `${row}at${i}`;
    const words = LANES.map(
      (lane, c) => `${buffer}[${wordOffset} + ${c}u] = ${stored(`taken.${value}.${lane}`, dtype, codecs[e.result]!)};`,
    );
    const begin = `let ${wordOffset} = ${at(sourceRow === null ? "row" : `taken.${row}index${i}`)};`;
    return { fields, line: [begin, ...words].map((l) => `    ${l}\n`).join("") };
  });
  const sums = parts.flatMap(({ line }, i) => (epilogues[i]!.kind === "sum" ? [line] : []));
  const stores = parts.flatMap(({ line }, i) => (epilogues[i]!.kind === "sum" ? [] : [line]));
  const added = sums.length === 0 ? "" : `    sums += ${sums.length === 1 ? sums[0]! : `Sums(${sums.join(", ")})`};\n`;
  const fields = parts.flatMap((p) => p.fields);
  // Only columns of this slice have a place in its struct.
  kernel.function(`struct Slice${n} { ${fields.map((f) => `${f.name}: ${f.type}`).join(", ")} }
fn slice${n}(row: u32, k: u32, register0: vec4f) -> Slice${n} {
  let r = rowF${n}(row);
  let c = colF${n}(k);
${text.lines.map((l) => `  ${l}\n`).join("")}  return Slice${n}(${fields.map((f) => f.value).join(", ")});
}`);
  const first = slice.start === 0 ? "column" : `max(column, ${kernel.size(slice.start)})`;
  const k = `min(${columnIn(kernel, slice, first)}, ${kernel.size(slice.stop - slice.start - 4)})`;
  return {
    fields: [{ name: `s${n}`, type: `Slice${n}`, value: `slice${n}(row, ${k}, x)` }],
    lines: [],
    stores: withinSlice(
      kernel,
      slice,
      0,
      `    let k = ${columnIn(kernel, slice, "column")};\n` +
        [...stores, added].join("").replaceAll("taken.", `taken.s${n}.`),
    ),
  };
}

/**
 * Whether four columns from a multiple of 4 on can be read at once: what depends on the column is f32, lies side by
 * side from multiples of 4 on, and is read by nothing else but in fours (`apart`: inputs that are) or under a result's
 * name. A register may be of four columns too.
 */
export function splitsInFours(
  kernel: KernelBuilder,
  { leaves, operations, results }: Expression,
  { of, codecs }: Inputs,
  apart: ReadonlySet<number>,
): boolean {
  const reach = leaves.map(reachOf);
  const across = (n: number): boolean => reach[n] === "both" || reach[n] === "column";
  const reached: boolean[] = [];
  for (const { operands } of operations) reached.push(operands.some((p) => (p < 0 ? across(-1 - p) : reached[p]!)));
  const inQuarters = (size: Size): boolean => {
    const quarter = divideSizes(size, 4);
    return quarter !== null && isWhole(quarter);
  };
  const sideBySide = (leaf: Leaf): boolean => {
    if (leaf.kind === "register") return leaf.dtype === "f32";
    if (leaf.kind !== "memory") return false;
    const { value, dtype, parts, access } = leaf;
    const { strides, offset } = access.affine;
    const input = of(value);
    const codec = codecs[input]!;
    return (
      dtype === "f32" &&
      parts === 1 &&
      strides.at(-1) === 1 &&
      [...strides.slice(0, -1), offset, access.indexed?.times ?? 0].every(inQuarters) &&
      codec.element(dtype) !== "u32" &&
      !apart.has(input) &&
      (!kernel.isNamed(input) || isFour(kernel, input, codec))
    );
  };
  return (
    results.some((p) => (p < 0 ? across(-1 - p) : reached[p]!)) &&
    results.every((p) => (p < 0 ? across(-1 - p) : reached[p]!)) &&
    leaves.every((leaf, n) => !across(n) || sideBySide(leaf)) &&
    operations.every(({ node }, n) => !reached[n] || node.types[0]!.dtype === "f32")
  );
}

/** Whether an input is bound in fours already. */
const isFour = (kernel: KernelBuilder, input: number, codec: ElementCodec): boolean =>
  kernel.elementOf(input) === codec.four && codec.four !== codec.element("f32");
