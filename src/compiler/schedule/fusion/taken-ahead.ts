// Epilogue loads of a product's kernel of few rows: the kernel issues them before it sums, together with the loads of
// the operands.
import { dtypeAt, stored, structFunction } from "../kernels/expression-text.js";
import { columnIn } from "./column-pairs.js";
import type { Bound, ColumnSlice, SliceText, TakenText } from "./epilogue.js";
import type { KernelBuilder } from "../kernels/spec.js";

type Own = Omit<SliceText, "place">;

/**
 * A slice of a kernel whose lanes finish a column each, or a pair. What is stored is computed before the branch that
 * stores it: compilers move loads that only a branch uses into it.
 */
export function takenAhead(own: Own, epilogues: readonly Bound[]): TakenText {
  const { kernel, text, expression, slice, n, pairs } = own;
  // Print the lines first: names they use become fields of the structs printed below.
  const names = expression.results.map((index) => text.name(index));
  const [first] = epilogues;
  if (first?.kind === "pairs") {
    declareTaken(own, []);
    kernel.function(`fn frame${n}(t: TakenF${n}, register0: f32) -> f32 {\n${body(own)}  return ${names[0]!};\n}`);
    return first.takingAhead({ ...own, place: expression.results[0]! });
  }
  const texts = epilogues.map((e, i): Made => {
    if (e.kind !== "statement") return { fields: [], type: "f32", value: names[i]!, store: null };
    return statement(own, e, i, names[i]!);
  });
  declareTaken(
    own,
    texts.flatMap((s) => s.fields),
  );
  const registers = slice.second === null ? "register0: f32" : "register0: f32, register1: f32";
  kernel.function(`struct Made${n} { ${texts.map(({ type }, i) => `v${i}: ${type}`).join(", ")} }
fn frame${n}(t: TakenF${n}, ${registers}) -> Made${n} {
${body(own)}  return Made${n}(${texts.map((m) => m.value).join(", ")});
}`);
  const sums = texts.flatMap(({ store }, i) => (store === null ? [`v${i}`] : []));
  const one = (taken: string, column: string, values: string): string => {
    const name = `made_${taken}`;
    const terms = sums.map((v) => `${name}.${v}`).join(", ");
    const statements = [
      `let k = ${columnIn(kernel, slice, column)};`,
      ...texts.flatMap(({ store }) => store?.(`taken.${taken}`, name) ?? []),
      ...(sums.length === 0 ? [] : [`sums += ${sums.length === 1 ? terms : `Sums(${terms})`};`]),
    ];
    return (
      `  let ${name} = frame${n}(taken.${taken}, ${values});\n` +
      `  if (stores && ${inside(kernel, slice, column)}) {\n${statements.map((l) => `    ${l}\n`).join("")}  }\n`
    );
  };
  const calls =
    pairs === 0
      ? [one(`s${n}`, "column", "x[0]")]
      : slice.second === null
        ? [one(`s${n}`, "first", "x[0]"), one(`s${n}other`, `(first + ${kernel.size(pairs)})`, "x[1]")]
        : [one(`s${n}`, "first", "x[0], x[1]")];
  return { fields: fieldsOf(own), lines: [], stores: calls.join("") };
}

/** The fields of `Taken` for a slice: what its columns take, the one of an invocation or the two of a pair. */
export function fieldsOf({
  kernel,
  slice,
  n,
  pairs,
}: Pick<Own, "kernel" | "slice" | "n" | "pairs">): TakenText["fields"] {
  const field = (name: string, column: string): TakenText["fields"][number] => ({
    name,
    type: `TakenF${n}`,
    value: `takeF${n}(row, ${placeIn(kernel, slice, column)})`,
  });
  if (pairs === 0) return [field(`s${n}`, "column")];
  const begin = "pairBegin(column)";
  if (slice.second !== null) return [field(`s${n}`, begin)];
  return [field(`s${n}`, begin), field(`s${n}other`, `${begin} + ${kernel.size(pairs)}`)];
}

/** The index within the slice of a column, or of the nearest that it has. */
function placeIn(kernel: KernelBuilder, slice: ColumnSlice, column: string): string {
  const { start, stop } = slice;
  return columnIn(
    kernel,
    slice,
    `clamp(${column}, ${start === 0 ? "0u" : kernel.size(start)}, ${kernel.size(stop - 1)})`,
  );
}

const body = ({ text }: Own): string => ["let r = t.r;", "let c = t.c;", ...text.lines].map((l) => `  ${l}\n`).join("");

/** Declares `TakenF`, with what `frame` reads, and `takeF`. */
function declareTaken({ kernel, text, n }: Own, more: readonly Taken[]): void {
  kernel.function(structFunction(`RowF${n}`, `rowF${n}(row: u32)`, text.rowFields, text.rowLines));
  kernel.function(structFunction(`ColF${n}`, `colF${n}(k: u32)`, text.columnFields, text.columnLines));
  kernel.function(
    structFunction(
      `TakenF${n}`,
      `takeF${n}(row: u32, k: u32)`,
      [{ name: "r", type: `RowF${n}` }, { name: "c", type: `ColF${n}` }, ...text.takenFields, ...more],
      [
        `let r = rowF${n}(row);`,
        `let c = colF${n}(k);`,
        ...text.takenLines,
        ...more.map(({ name, value }) => `let ${name} = ${value};`),
      ],
    ),
  );
}

interface Taken {
  readonly name: string;
  readonly type: string;
  readonly value: string;
}

/** The text that computes an epilogue's value, and the loads that it needs. */
interface Made {
  readonly fields: readonly Taken[];
  readonly type: string;
  readonly value: string;
  /** The statement that stores it at `row` and `k`, by the names of what was taken and made; null: it is added up. */
  readonly store: ((taken: string, made: string) => string) | null;
}

/** A store, which takes the row in memory, and what it adds to. */
function statement(
  { kernel, expression, codecs }: Own,
  { into, result }: Extract<Bound, { kind: "statement" }>,
  i: number,
  value: string,
): Made {
  const { stride, offset, index, adds } = into;
  const buffer = `y${result}`;
  const codec = codecs[result]!;
  const at = (row: string): string =>
    `${row}${stride === 1 ? "" : ` * ${kernel.size(stride)}`}${offset === 0 ? "" : ` + ${kernel.size(offset)}`} + k`;
  const row = { name: `index${i}`, type: "u32", value: index === null ? "" : `${kernel.inputOnce(index, "u32")}[row]` };
  const before = { name: `before${i}`, type: "f32", value: `${buffer}[${at(index === null ? "row" : row.name)}]` };
  const dtype = dtypeAt(expression, expression.results[i]!);
  return {
    fields: [...(index === null ? [] : [row]), ...(adds ? [before] : [])],
    type: codec.element(dtype),
    value: adds ? codec.store(`t.${before.name} + ${value}`, dtype) : stored(value, dtype, codec),
    store: (taken, made) => `${buffer}[${at(index === null ? "row" : `${taken}.${row.name}`)}] = ${made}.v${i};`,
  };
}

/** Whether a column is of the slice. */
export function inside(kernel: KernelBuilder, { start, stop }: ColumnSlice, column: string): string {
  const after = start > 0 ? [`${column} >= ${kernel.size(start)}`] : [];
  return [...after, `${column} < ${kernel.size(stop)}`].join(" && ");
}
