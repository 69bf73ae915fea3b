// Formats numbers.

const PREFIXES = ["", " k", " M", " G", " T", " P"];

/** A number with three digits and a prefix: `1.23 M`. */
export function short(value: number): string {
  if (value === 0) return "0";
  const power = Math.min(PREFIXES.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value)) / 3)));
  const scaled = value / 1000 ** power;
  return `${power === 0 && Number.isInteger(value) ? value : scaled.toPrecision(3)}${PREFIXES[power]!}`;
}

/** A number of operations: `152 MFLOP`, `14 FLOP`. */
export function flop(value: number): string {
  const text = short(value);
  return /[A-Z]$|k$/i.test(text) ? `${text}FLOP` : `${text} FLOP`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  return `${power === 0 ? scaled : scaled.toPrecision(3)} ${UNITS[power]!}`;
}

export const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
