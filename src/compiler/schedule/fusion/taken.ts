// What a product's kernel on a GPU takes before it stores: loads of several rows are then in flight together, and
// wait for no branch. Four neighbouring columns are one vector.
import { dtypeAt, stored, structFunction } from "../addressing/expression-text.js";
import type { KernelBuilder } from "../kernels/spec.js";
import { columnIn, withinSlice } from "./column-pairs.js";
import type { Bound, SliceText, TakenText } from "./epilogue.js";

type Field = TakenText["fields"][number];

/** Declares `Taken` and `take`, which may be called for any row and column of the product; `ahead`: without sums. */
export function declareTake(kernel: KernelBuilder, pairs: number, slices: readonly TakenText[], ahead: boolean): void {
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
export function takenFours(own: SliceText, epilogues: readonly Bound[]): TakenText {
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
    const held = index === null ? null : `${kernel.inputOnce(index, "u32")}[row]`;
    const at = (of: string): string =>
      `${of} * ${kernel.size(stride)}${offset === 0 ? "" : ` + ${kernel.size(offset)}`} + k`;
    const buffer = `y${e.result}`;
    const before = (c: number): string => `${buffer}[${at(held ?? "row")} + ${c}u]`;
    const fields = [
      {
        name: value,
        type: "vec4f",
        value: adds ? `vec4f(${[0, 1, 2, 3].map(before).join(", ")}) + ${name}` : name,
      },
      ...(held === null ? [] : [{ name: `${row}index${i}`, type: "u32", value: held }]),
    ];
    const place = `${row}at${i}`;
    const words = LANES.map(
      (lane, c) => `${buffer}[${place} + ${c}u] = ${stored(`taken.${value}.${lane}`, dtype, codecs[e.result]!)};`,
    );
    const begin = `let ${place} = ${at(held === null ? "row" : `taken.${row}index${i}`)};`;
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
