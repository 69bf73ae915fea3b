// Numbers with units and tables of text, as a person reads them.
import { withPrefix } from "../../../ground/base/shown.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import type { MemoryUse } from "../../../runtime/run/memory.js";

export { withPrefix };

/** `805.3 MFLOP`, `512 FLOP` */
export function operations(flops: number): string {
  const text = withPrefix(flops);
  return `${text}${text.includes(" ") ? "" : " "}FLOP`;
}

/** `12,345` of a whole number. Not by `toLocaleString`, which loads tables of languages: 10 ms at the first call. */
export const grouped = (n: number): string => String(n).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");

/** Milliseconds with three significant digits, and at most three after the decimal point. */
export const milliseconds = (ms: number): string =>
  ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(3);

/** `12.5%` of a whole; `-` of nothing. */
export const percent = (part: number, whole: number): string =>
  whole > 0 ? `${((100 * part) / whole).toFixed(1)}%` : "-";

/** `3 kernels`, `1 kernel`. */
export const plural = (n: number, word: string): string =>
  `${grouped(n)} ${n === 1 ? word : /(s|ch)$/.test(word) ? `${word}es` : `${word}s`}`;

/**
 * A list in lines of at most so many columns, broken between items; the first line begins with `begin`, the others are
 * as far in.
 */
export function wrap(begin: string, items: readonly string[], between: string, width: number): readonly string[] {
  const lines = [begin];
  items.forEach((item, i) => {
    const part = i + 1 < items.length ? item + between : item;
    const line = lines.at(-1)!;
    if (line.length > begin.length && line.length + part.trimEnd().length > width)
      lines.push(" ".repeat(begin.length) + part);
    else lines[lines.length - 1] = line + part;
  });
  return lines.map((line) => line.trimEnd());
}

/** A column: its heading, and the cell of each row. */
export type Column<Row> = readonly [heading: string, cell: (row: Row, index: number) => string | number];

/**
 * A line for each row, below a line of headings. A column is to the right if all its cells are numbers or look like
 * numbers. `false` stands for a column that is left out.
 */
export function table<Row>(rows: readonly Row[], columns: readonly (Column<Row> | false)[]): string {
  const shown = columns.flatMap((column) => {
    if (column === false) return [];
    const [heading, cell] = column;
    const cells = rows.map(cell);
    const right = cells.length > 0 && cells.every((c) => typeof c === "number" || /^(\d|-$|$)/.test(c));
    const texts = [heading, ...cells.map(String)];
    const width = Math.max(...texts.map((text) => text.length));
    return [texts.map((text) => (right ? text.padStart(width) : text.padEnd(width)))];
  });
  return ["", ...rows]
    .map((_, i) =>
      shown
        .map((texts) => texts[i]!)
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Memory by purpose, largest first, without purposes below a thousandth. */
export function memoryLines({ total, reading, ...parts }: MemoryUse, width: number): readonly string[] {
  const listed = Object.entries(parts)
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, bytes]) => bytes >= total / 1000)
    .map(([name, bytes]) => `${name} ${formatBytes(bytes)}`);
  if (reading >= total / 1000) listed.push(`and ${formatBytes(reading)} while states are read`);
  return wrap(`memory of a session ${formatBytes(total)}: `, listed, ", ", width);
}
