// Prints a product kernel's epilogues as WGSL: `finish` for four neighbouring columns, and `keep` for row sums over a
// panel; for kernels that take before they store, `take` too.
import type { DType } from "../../../ground/base/dtype.js";
import type { Expression } from "../addressing/expression.js";
import { splitsInFours } from "../addressing/expression-fours.js";
import { sumsType } from "../addressing/declare-rows.js";
import { dtypeAt, RowText, structFunction, type Inputs } from "../addressing/expression-text.js";
import type { Extents } from "../analysis/extents.js";
import type { ElementCodec } from "../codecs/codec.js";
import { takenParameters, type Taking } from "../kernels/product-texts.js";
import { result, type KernelBuilder } from "../kernels/spec.js";
import { callsOf } from "./column-pairs.js";
import type { Bound, SliceText, TakenText } from "./epilogue.js";
import type { FusedColumns } from "./fusion.js";
import { takenAhead } from "./taken-ahead.js";
import { declareTake, takenFours } from "./taken.js";

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
  /** Codecs of the results. */
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
  const kept = sums.map((sum, i) => sum.keep(kernel, sums.length === 1 ? "sums" : `sums[${i}]`));
  kernel.function(`fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {\n${kept.join("")}}`);
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
  for (const place of expression.results) text.name(place);
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
