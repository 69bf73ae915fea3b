// Numbers with units, as a person reads them.
import { withPrefix } from "../../../ground/base/shown.js";

export { withPrefix };

/** `805.3 MFLOP`, `512 FLOP` */
export function operations(flops: number): string {
  const text = withPrefix(flops);
  return `${text}${text.includes(" ") ? "" : " "}FLOP`;
}

/** `12,345` of a whole number. Not by `toLocaleString`, which loads tables of languages: 10 ms at the first call. */
export const grouped = (n: number): string => String(n).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");

/** Milliseconds with three digits that matter, and no more than three behind the point. */
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
