// The operands of attention: the layouts of their heads' rows, and WGSL for reading and writing four columns of a row.
import { invariant } from "../../../ground/base/invariant.js";
import type { OpName } from "../../ir/vocabulary.js";
import { packedAxis } from "../../ir/typing.js";
import type { TensorType } from "../../ir/types.js";
import { addSizes, divideSizes, isWhole, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { rounding, type ElementCodec } from "../codecs/codec.js";
import { inBuffer } from "../codecs/elements.js";
import type { Buffer, Step } from "../plan/plan.js";
import { input, KernelBuilder, result, typeAt, type Operand, type KernelContext, type View } from "./spec.js";

/**
 * The layout of [heads, rows, width]: `offset + head · strides[0] + row · strides[1] + column · strides[2]`, in
 * elements. `wide`: four columns are one vector, and strides are in vectors.
 */
export interface HeadRows {
  readonly type: TensorType;
  readonly width: number;
  readonly wide: boolean;
  readonly codec: ElementCodec;
  readonly strides: readonly [Size, Size, Size];
  readonly offset: Size;
}

/** The operands in the order of the node's inputs, and its result. */
export interface AttentionOperands {
  readonly heads: number;
  /** Number of query heads that share a head of keys and values. */
  readonly shared: number;
  readonly q: HeadRows;
  readonly k: HeadRows;
  readonly v: HeadRows;
  readonly y: HeadRows;
}

export function operandsOf({
  inputs,
  results,
  extents,
  views,
  resultViews,
  stored,
  places,
}: KernelContext<"attention" | "attention_kept" | "paged_attention" | "pair_attention">): AttentionOperands {
  const rows = (i: number): HeadRows => rowsOf(typeAt(inputs, i), views[i] ?? null, stored.reads[places[i]!]!, extents);
  const [q, k, v] = [rows(0), rows(1), rows(2)];
  const y = rowsOf(typeAt(results, 0), resultViews[0] ?? null, stored.writes[0]!, extents);
  const [heads, shared] = [q.type.shape[0], k.type.shape[0]];
  invariant(typeof heads === "number" && typeof shared === "number", "the heads are known");
  return { heads, shared, q, k, v, y };
}

export function rowsOf(type: TensorType, view: View | null, codec: ElementCodec, extents: Extents): HeadRows {
  const [, rows, width] = type.shape;
  invariant(
    type.shape.length === 3 && rows !== undefined && typeof width === "number",
    "attention takes [heads, rows, width]",
  );
  const [heads = extents.times(rows, width), row = width, column = 1] = view?.strides ?? [];
  const offset = view?.offset ?? 0;
  const quarters = [heads, row, offset].map((s) => divideSizes(s, 4));
  const wide = width % 4 === 0 && column === 1 && quarters.every((s) => s !== null && isWhole(s));
  const [h, r, o] = quarters;
  return wide
    ? { type, width, wide, codec, strides: [h!, r!, 1], offset: o! }
    : { type, width, wide, codec, strides: [heads, row, column], offset };
}

/**
 * Binds the node's inputs as q, k and v, by `bindRows` starts and positions, and as y its result, or else what it
 * leaves; `batch()` is declared elsewhere.
 */
export function bindOperands(
  kernel: KernelBuilder,
  { q, k, v, y }: AttentionOperands,
  bindRows: (kernel: KernelBuilder) => void,
  leaves: Operand | null = null,
): void {
  kernel.read("q", elementOf(q), input(0)).read("k", elementOf(k), input(1)).read("v", elementOf(v), input(2));
  bindRows(kernel);
  kernel.write("y", leaves ? "vec4f" : elementOf(y, isWideResult(y)), leaves ?? result());
}

/** Binds starts and positions as separate buffers; `first` is the place of the first of them among the inputs. */
export function bindRowInputs(kernel: KernelBuilder, first = 3): void {
  kernel
    .read("startsQ", "u32", input(first))
    .read("startsK", "u32", input(first + 1))
    .read("positionsQ", "u32", input(first + 2))
    .read("positionsK", "u32", input(first + 3));
  kernel
    .function("fn startQ(b: u32) -> u32 { return startsQ[b]; }")
    .function("fn startK(b: u32) -> u32 { return startsK[b]; }")
    .function("fn positionQ(row: u32) -> u32 { return positionsQ[row]; }")
    .function("fn positionK(row: u32) -> u32 { return positionsK[row]; }");
}

/** Binds starts, positions of queries, and for each key its position and its row of k and v. */
export function bindPagedRows(kernel: KernelBuilder): void {
  kernel
    .read("startsQ", "u32", input(3))
    .read("startsK", "u32", input(4))
    .read("positionsQ", "u32", input(5))
    .read("keysTable", "u32", input(6));
  kernel
    .function("fn startQ(b: u32) -> u32 { return startsQ[b]; }")
    .function("fn startK(b: u32) -> u32 { return startsK[b]; }")
    .function("fn positionQ(row: u32) -> u32 { return positionsQ[row]; }")
    .function("fn positionK(row: u32) -> u32 { return keysTable[2u * row]; }")
    .function("fn poolRow(row: u32) -> u32 { return keysTable[2u * row + 1u]; }");
}

/** Binds all four as one buffer, written by `rowsTable`, for devices with too few bindings. */
export function bindRowsTable(kernel: KernelBuilder, table: Operand): void {
  kernel
    .read("rows", "u32", table)
    .function("fn startQ(b: u32) -> u32 { return rows[b]; }")
    .function("fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }")
    .function("fn positionQ(row: u32) -> u32 { return rows[2u * batch() + 2u + row]; }")
    .function("fn positionK(row: u32) -> u32 { return rows[2u * batch() + 2u + startQ(batch()) + row]; }");
}

/** `fn name(row: u32) -> f32`: the weight of a key, in the table that is bound as `rows`. */
export function declareWeights(kernel: KernelBuilder, name: string): void {
  const before = "2u * batch() + 2u + startQ(batch()) + startK(batch())";
  kernel.function(`fn ${name}(row: u32) -> f32 { return bitcast<f32>(rows[${before} + row]); }`);
}

/** Inputs whose values a table holds after the positions: the weights of keys, then statistics of queries. */
export interface MoreRows {
  readonly weights: number;
  readonly statistics?: readonly [number, number];
}

/**
 * The step that writes starts of queries and of keys, then positions of both, inputs 3 to 6, one after the other, and
 * numbers by their bits if there are `more`; and the bytes they take.
 */
export function rowsTable(
  { inputs, extents, tunings }: Pick<KernelContext<OpName>, "inputs" | "extents" | "tunings">,
  table: Operand,
  more: MoreRows | null = null,
): { readonly step: Step<Operand>; readonly bytes: Size } {
  const kernel = new KernelBuilder("pointwise", extents, "attention_rows");
  bindRowInputs(kernel);
  const [lse, delta] = more?.statistics ?? [];
  if (more) kernel.read("weights", "f32", input(more.weights));
  if (lse !== undefined && delta !== undefined)
    kernel.read("lse", "f32", input(lse)).read("delta", "f32", input(delta));
  kernel.write("y", "u32", table).count("batch", extents.batch);
  const indices = [3, 4, 5, 6, ...(more ? [more.weights, ...(more.statistics ?? [])] : [])];
  const heads = typeAt(inputs, 0).shape[0]!;
  if (lse !== undefined) kernel.count("heads", heads);
  const positions = "2u * batch() + 2u + startQ(batch()) + startK(batch())";
  const count = `${positions}${more ? " + startK(batch())" : ""}${
    lse === undefined ? "" : " + 2u * heads() * startQ(batch())"
  }`;
  kernel
    .function(`fn count() -> u32 { return ${count}; }`)
    .function(tableText(more ? (lse === undefined ? WEIGHTS : STATISTICS) : POSITIONS));
  const entries = indices.map((i) => extents.product(typeAt(inputs, i).shape)).reduce(addSizes);
  return { step: kernel.spread(entries, tunings.elements), bytes: extents.times(4, entries) };
}

/** Entry i of the table; `rest`: the code of the entries after the positions of queries. */
const tableText = (rest: string): string => `fn value(i: u32) -> u32 {
  let n = batch() + 1u;
  if (i < n) { return startQ(i); }
  if (i < 2u * n) { return startK(i - n); }
  let row = i - 2u * n;
  let queries = startQ(batch());
  if (row < queries) { return positionQ(row); }
${rest}
}`;

const POSITIONS = "  return positionK(row - queries);";
const POSITIONS_FIRST = `  let key = row - queries;
  let keys = startK(batch());
  if (key < keys) { return positionK(key); }`;
const WEIGHTS = `${POSITIONS_FIRST}
  return bitcast<u32>(weights[key - keys]);`;
const STATISTICS = `${POSITIONS_FIRST}
  if (key < 2u * keys) { return bitcast<u32>(weights[key - keys]); }
  let statistic = key - 2u * keys;
  let each = heads() * queries;
  if (statistic < each) { return bitcast<u32>(lse[statistic]); }
  return bitcast<u32>(delta[statistic - each]);`;

/** Whether all operands can be read as vectors of four columns. */
export const readsVectors = ({ q, k, v, y }: AttentionOperands): boolean =>
  q.wide && k.wide && v.wide && isWideResult(y);

export const elementOf = ({ wide, codec }: HeadRows, inFours = wide): Buffer["element"] =>
  inFours ? codec.four : codec.element("f32");
export const isWideResult = ({ wide, codec, type }: HeadRows): boolean =>
  wide && codec.storeFour("x", type.dtype) !== null;

/**
 * `fn queryAt(head: u32, row: u32, c: u32) -> vec4f`, likewise `keyAt` and `valueAt`, and, if the kernel writes the
 * result, `fn write(head: u32, row: u32, c: u32, x: vec4f)`: columns 4c … of a row; zeros beyond the last. `keyRow`:
 * the row of k and v for `row` of the keys.
 */
export function accessOperands(
  kernel: KernelBuilder,
  operands: AttentionOperands,
  extents: Extents,
  keyRow: string,
  writes = true,
): void {
  const axisQ = packedAxis(operands.q.type.shape[1]!);
  const axisK = packedAxis(operands.k.type.shape[1]!);
  const declare: Declare = (name, size) => extent(kernel, extents, name, size, axisQ, axisK);
  reader(kernel, "query", "q", operands.q, declare);
  reader(kernel, "key", "k", operands.k, declare, keyRow);
  reader(kernel, "value", "v", operands.v, declare, keyRow);
  if (writes) writer(kernel, "write", "y", operands.y, "result", declare);
}

/** Binds y, and declares `fn write(head: u32, row: u32, c: u32, x: vec4f)`, in a kernel that reads no operand. */
export function writeResult(kernel: KernelBuilder, { y }: AttentionOperands, to: Operand, declare: Declare): void {
  kernel.write("y", elementOf(y, isWideResult(y)), to);
  writer(kernel, "write", "y", y, "result", declare);
}

/**
 * `fn name(head: u32, row: u32, c: u32, x: vec4f)`: columns 4c … of a row of a buffer, as its element is; `place`
 * begins the names of the functions that say where.
 */
export function writer(
  kernel: KernelBuilder,
  name: string,
  buffer: string,
  rows: HeadRows,
  place: string,
  declare: Declare,
): void {
  const at = addressOf(place, rows, declare);
  const four = rows.wide ? rows.codec.storeFour("x", rows.type.dtype) : null;
  if (four !== null) {
    kernel.function(`fn ${name}(head: u32, row: u32, c: u32, x: vec4f) { ${buffer}[${at}] = ${four}; }`);
    return;
  }
  const rounded = `${name}Rounded`;
  kernel.count(`${place}Width`, rows.width).function(rounding(rows.codec, rows.type.dtype, rounded));
  const base = rows.wide ? `4u * (${at})` : at;
  const column = rows.wide ? "i" : "(4u * c + i)" + (rows.strides[2] === 1 ? "" : ` * ${place}Columns()`);
  kernel.function(
    `fn ${name}(head: u32, row: u32, c: u32, x: vec4f) {\n  let at = ${base};\n  for (var i = 0u; i < ` +
      `min(${place}Width() - 4u * c, 4u); i++) { ${buffer}[at + ${column}] = ${rounded}(x[i]); }\n}`,
  );
}

export type Declare = (name: string, size: Size) => void;

/**
 * Declares an extent as a function. Rows that only the device counts are read from the starts that are bound anyway:
 * there is room for no other buffer.
 */
export function extent(
  kernel: KernelBuilder,
  extents: Extents,
  name: string,
  size: Size,
  axisQ: string | null,
  axisK: string | null,
): void {
  const device = extents.deviceSize(size);
  const starts = device === null ? null : device.axis === axisQ ? "startQ" : device.axis === axisK ? "startK" : null;
  if (device === null || starts === null) {
    kernel.count(name, size);
    return;
  }
  kernel.count(`${name}Each`, device.factor);
  if (device.plus !== 0) kernel.count(`${name}Plus`, device.plus);
  kernel.function(
    `fn ${name}() -> u32 { return ${starts}(batch()) * ${name}Each()${device.plus === 0 ? "" : ` + ${name}Plus()`}; }`,
  );
}

/**
 * The place of column 0 of a row, in vectors where four columns are one; declares the functions it calls.
 */
function beginOf(
  name: string,
  { strides: [heads, rows, columns], offset }: HeadRows,
  declare: Declare,
  row = "row",
): string {
  declare(`${name}Heads`, heads);
  declare(`${name}Rows`, rows);
  if (columns !== 1) declare(`${name}Columns`, columns);
  if (offset !== 0) declare(`${name}Offset`, offset);
  const begin = offset === 0 ? "" : `${name}Offset() + `;
  return `${begin}head * ${name}Heads() + ${row} * ${name}Rows()`;
}

/** As `beginOf`, of columns 4c … where four columns are a vector. */
const addressOf = (name: string, rows: HeadRows, declare: Declare): string =>
  `${beginOf(name, rows, declare)}${rows.wide ? " + c" : ""}`;

/**
 * `fn nameAt(head: u32, row: u32, c: u32) -> vec4f`: columns 4c … of a row. A kernel that reads many columns of a row
 * gets the row's offset once (`nameBegin`), and reads from that offset (`nameBehind`).
 */
export function reader(
  kernel: KernelBuilder,
  name: string,
  buffer: string,
  rows: HeadRows,
  declare: Declare,
  row = "row",
): void {
  const begin = beginOf(name, rows, declare, row);
  kernel.function(`fn ${name}Begin(head: u32, row: u32) -> u32 { return ${begin}; }`);
  if (rows.wide) {
    const loaded = rows.codec.loadFour(`${buffer}[begin + c]`);
    if (loaded === null) kernel.function(rows.codec.readFour(`${name}Four`, inBuffer(buffer), 1));
    const four = loaded ?? `${name}Four(begin + c)`;
    kernel.function(`fn ${name}Behind(begin: u32, c: u32) -> vec4f { return ${four}; }`);
  } else {
    kernel.count(`${name}Width`, rows.width);
    const column = `(4u * c + i)${rows.strides[2] === 1 ? "" : ` * ${name}Columns()`}`;
    kernel.function(
      `fn ${name}Behind(begin: u32, c: u32) -> vec4f {\n  var x = vec4f();\n` +
        `  for (var i = 0u; i < min(${name}Width() - 4u * c, 4u); i++) { x[i] = ` +
        `${rows.codec.load(`${buffer}[begin + ${column}]`)}; }\n  return x;\n}`,
    );
  }
  kernel.function(
    `fn ${name}At(head: u32, row: u32, c: u32) -> vec4f { return ${name}Behind(${name}Begin(head, row), c); }`,
  );
}
