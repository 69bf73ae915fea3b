// Builds pieces of HTML and SVG as text, with external text escaped.

export { escape } from "../../../ground/base/html.js";

/** JSON that is safe within a script element. */
export const scriptJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");

/** `1,234,567` */
export const grouped = (n: number): string => Math.round(n).toLocaleString("en");

/** `1.23 M`: up to four significant digits. */
export function short(n: number): string {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(Math.max(1, Math.abs(n))) / 3)));
  const scaled = n / 1000 ** step;
  return step === 0 ? String(Math.round(n)) : `${scaled.toPrecision(3)} ${prefixes[step]!}`;
}

/** A number with as many digits as a table or tooltip needs. */
export function plain(n: number): string {
  if (!Number.isFinite(n)) return "–";
  const size = Math.abs(n);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return n.toExponential(2).replace("e+", "e");
  return size >= 1000 ? grouped(n) : size >= 100 ? n.toFixed(1) : size >= 1 ? n.toFixed(3) : n.toPrecision(3);
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** `2 h 05 min`, `3 min 20 s`, `12 s` */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s` : `${s} s`;
}
