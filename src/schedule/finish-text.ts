// What a product's kernel does with its sums, as WGSL: `finish` for four neighbouring columns, and `keep` for sums over a panel of them.
import type { DType } from "../base/dtype.js";
import type { Size } from "../size/size.js";
import type { Expression } from "./expression.js";
import { dtypeAt, RowText, stored, structFunction, sumsType, type Inputs } from "./expression-text.js";
import type { Extents } from "./extents.js";
import { result, storageType, toHalf, type KernelBuilder } from "./kernels/spec.js";
import type { Frame } from "./region.js";

/** Where a result of a frame goes: to which of the kernel's results, and where there. */
export type Output =
  /** Row `row` begins at row · stride + offset. */
  | { readonly kind: "store"; readonly result: number; readonly stride: Size; readonly offset: Size }
  /** Row `row` is row index[row] of something so wide; `index` is an input of the kernel. */
  | { readonly kind: "scatter"; readonly result: number; readonly index: number; readonly stride: Size; readonly replaces: boolean };

export interface FrameText {
  readonly frame: Frame;
  /** Over [rows, columns of the frame]; registers are sums. Results: an element for each output, then one for each row sum. */
  readonly expression: Expression;
  readonly outputs: readonly Output[];
  /** The last output is turned by the angles of its row: inputs of the kernel, and the width of a head. */
  readonly rotation: { readonly positions: number; readonly angles: number; readonly width: number } | null;
  /** Results of the kernel that hold row sums, so many to a row: of row `row`; or, where `index` is an input of the kernel and not null, of row index[row] of something else. */
  readonly sums: readonly { readonly result: number; readonly panels: number; readonly index: number | null }[];
}

/** Declares `Sums`, `ROW_SUMS`, `finish` and `keep`. `pairs`: columns so far apart stand side by side; `halves`: which results are stored as f16. */
export function declareFinish(
  kernel: KernelBuilder,
  frames: readonly FrameText[],
  pairs: number,
  extents: Extents,
  { inputs, halves }: { readonly inputs: Inputs; readonly halves: readonly boolean[] },
): void {
  const sums = frames.find((f) => f.sums.length > 0)?.sums ?? [];
  kernel.function(`alias Sums = ${sumsType(sums.length)};`).constant("ROW_SUMS", sums.length);
  const results = new Map<number, DType>();
  for (const f of frames) f.outputs.forEach((o, i) => results.set(o.result, dtypeAt(f.expression, f.expression.results[i]!)));
  for (const s of sums) results.set(s.result, "f32");
  for (const [index, dtype] of [...results].toSorted(([a], [b]) => a - b))
    kernel.write(`y${index}`, halves[index]! ? "f16" : storageType(dtype), result(index));
  const blocks = frames.map((f, n) =>
    f.rotation ? rotatedBlock(kernel, f, n, pairs, extents, inputs, halves) : plainBlock(kernel, f, n, pairs, extents, inputs, halves),
  );
  const body = pairs === 0 ? blocks : [`  let group = column - column % ${kernel.size(2 * pairs)};\n  let first = group + (column - group) / 2u;\n`, ...blocks];
  kernel.function(`fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {\n  var sums = Sums();\n${body.join("")}  return sums;\n}`);
  const kept = sums.map(({ result: to, panels, index }, i) => {
    const at = index === null ? "row" : `${kernel.inputOnce(index, "u32")}[row]`;
    return `  y${to}[${at} * ${kernel.size(panels)} + panel] = ${sums.length === 1 ? "sums" : `sums[${i}]`};\n`;
  });
  kernel.function(`fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {\n${kept.join("")}}`);
}

/** `if` some of the four columns are the frame's. */
function within(kernel: KernelBuilder, { start, stop }: Frame, pairs: number, text: string): string {
  const [low, high] = pairs === 0 ? ["column", "column + 4u"] : ["group", `group + ${kernel.size(2 * pairs)}`];
  const tests = [...(start > 0 ? [`${high} > ${kernel.size(start)}`] : []), `${low} < ${kernel.size(stop)}`];
  return `  if (${tests.join(" && ")}) {\n${text}  }\n`;
}

const inside = (kernel: KernelBuilder, { start, stop }: Frame, column: string): string =>
  start === 0 ? `${column} < ${kernel.size(stop)}` : `${column} >= ${kernel.size(start)} && ${column} < ${kernel.size(stop)}`;

const from = (kernel: KernelBuilder, { start }: Frame, column: string): string => (start === 0 ? column : `${column} - ${kernel.size(start)}`);

/** `RowF`, `ColF` and what they are computed by; returns the lines between. */
function pieces(
  kernel: KernelBuilder,
  { expression }: FrameText,
  n: number,
  extents: Extents,
  inputs: Inputs,
): { readonly text: RowText; readonly lines: string } {
  const text = new RowText(kernel, expression, extents, inputs, `f${n}`);
  // Names that the lines use become fields before the functions that fill them are written.
  for (const place of expression.results) text.name(place);
  kernel.function(structFunction(`RowF${n}`, `rowF${n}(row: u32)`, text.rowFields, text.rowLines));
  kernel.function(structFunction(`ColF${n}`, `colF${n}(k: u32)`, text.columnFields, text.columnLines));
  return { text, lines: [`let c = colF${n}(k);`, ...text.lines].map((l) => `  ${l}\n`).join("") };
}

function plainBlock(kernel: KernelBuilder, part: FrameText, n: number, pairs: number, extents: Extents, inputs: Inputs, halves: readonly boolean[]): string {
  const { frame, expression, outputs, sums } = part;
  const { text, lines } = pieces(kernel, part, n, extents, inputs);
  const stores = outputs.map(
    (o, i) => `  ${storeText(kernel, o, text.name(expression.results[i]!), dtypeAt(expression, expression.results[i]!), halves[o.result]!)}\n`,
  );
  const summed = expression.results.slice(outputs.length).map((place) => text.name(place));
  const returned = summed.length === 0 || sums.length === 0 ? "Sums()" : summed.length === 1 ? summed[0]! : `Sums(${summed.join(", ")})`;
  const registers = frame.second === null ? "register0: f32" : "register0: f32, register1: f32";
  kernel.function(`fn frame${n}(r: RowF${n}, row: u32, k: u32, ${registers}) -> Sums {\n${lines}${stores.join("")}  return ${returned};\n}`);
  const call = (column: string, values: string): string =>
    `if (${inside(kernel, frame, column)}) { sums += frame${n}(r, row, ${from(kernel, frame, column)}, ${values}); }`;
  const row = `    let r = rowF${n}(row);\n`;
  // Rolled, for its bound is no constant: a compiler's time grows with the loads in the text.
  if (pairs === 0) {
    const end = `min(column + 4u, ${kernel.size(frame.stop)})`;
    const first = frame.start === 0 ? "column" : `max(column, ${kernel.size(frame.start)})`;
    const called = `sums += frame${n}(r, row, ${from(kernel, frame, "c")}, x[c - column]);`;
    return within(kernel, frame, 0, `${row}    for (var c = ${first}; c < ${end}; c++) { ${called} }\n`);
  }
  const other = `(first + h + ${kernel.size(pairs)})`;
  const calls = frame.second === null ? [call("(first + h)", "x[2u * h]"), call(other, "x[2u * h + 1u]")] : [call("(first + h)", "x[2u * h], x[2u * h + 1u]")];
  return within(kernel, frame, pairs, `${row}    ${TWICE}\n${calls.map((c) => `      ${c}\n`).join("")}    }\n`);
}

/** The begin of a loop that goes through h = 0 and 1, and stays rolled: a group has more columns than half of it. */
const TWICE = "for (var h = 0u; h < min(first + 2u, columnCount()) - first; h++) {";

function storeText(kernel: KernelBuilder, output: Output, value: string, dtype: DType, half: boolean): string {
  const word = stored(value, dtype, half);
  if (output.kind === "store") {
    const row = output.stride === 1 ? "row" : `row * ${kernel.size(output.stride)}`;
    const offset = output.offset === 0 ? "" : ` + ${kernel.size(output.offset)}`;
    return `y${output.result}[${row}${offset} + k] = ${word};`;
  }
  const at = `${kernel.inputOnce(output.index, "u32")}[row] * ${kernel.size(output.stride)} + k`;
  if (output.replaces) return `y${output.result}[${at}] = ${word};`;
  const sum = `y${output.result}[${at}] + ${value}`;
  return `y${output.result}[${at}] = ${rounded(sum, dtype, half)};`;
}

const rounded = (value: string, dtype: DType, half: boolean): string => (half ? toHalf(value) : dtype === "f16" ? `modc_f16(${value})` : value);

/** Pairs of columns of a head, turned (Su et al. 2021, arXiv 2104.09864, equation 34). */
function rotatedBlock(kernel: KernelBuilder, part: FrameText, n: number, pairs: number, extents: Extents, inputs: Inputs, halves: readonly boolean[]): string {
  const { frame, expression, outputs, rotation } = part;
  const { text, lines } = pieces(kernel, part, n, extents, inputs);
  const place = expression.results.at(-1)!;
  const [value, dtype] = [text.name(place), dtypeAt(expression, place)];
  kernel.function(`fn frame${n}(r: RowF${n}, row: u32, k: u32, register0: f32) -> f32 {\n${lines}  return ${value};\n}`);
  const { positions, angles, width } = rotation!;
  const output = outputs.at(-1)!;
  const buffer = `y${output.result}`;
  const halved = halves[output.result]!;
  const table = kernel.inputOnce(angles, "f32");
  const half = kernel.size(pairs);
  const start =
    output.kind === "store"
      ? `row * ${kernel.size(output.stride)} + ${kernel.size(output.offset)}`
      : `${kernel.inputOnce(output.index, "u32")}[row] * ${kernel.size(output.stride)}`;
  const turn = [
    `let k = ${from(kernel, frame, "first")} + h;`,
    `let low = frame${n}(r, row, k, x[2u * h]);`,
    `let high = frame${n}(r, row, k + ${half}, x[2u * h + 1u]);`,
    `let angle = turn + k % ${kernel.size(width)};`,
    `let cosine = ${table}[angle];`,
    `let sine = ${table}[angle + ${half}];`,
    `${buffer}[start + k] = ${rounded("low * cosine - high * sine", dtype, halved)};`,
    `${buffer}[start + k + ${half}] = ${rounded("high * cosine + low * sine", dtype, halved)};`,
  ];
  const head = [`let r = rowF${n}(row);`, `let turn = ${kernel.inputOnce(positions, "u32")}[row] * ${kernel.size(width)};`, `let start = ${start};`, TWICE];
  return within(kernel, frame, pairs, [...head.map((l) => `    ${l}\n`), ...turn.map((l) => `      ${l}\n`), "    }\n"].join(""));
}
