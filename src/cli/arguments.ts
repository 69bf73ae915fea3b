// Reading the values of options: name=value, numbers, lists.
import { MOST_EXTENT } from "../size/axes.js";
import { isInteger, parseDecimal } from "../size/rational.js";
import { EXIT, UserError } from "./exit.js";

const usage = (message: string, hint: string | null = null): UserError => new UserError(message, hint, EXIT.usage);

/** `name=value` → both sides; the value may hold further equal signs. */
export function splitPair(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at <= 0) throw usage(`${option} ${JSON.stringify(text)} has no name and value`, `write ${option} name=value`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

/** Several `name=value`, in a record without a prototype, for any name may be given. */
export function pairs(option: string, texts: readonly string[]): Readonly<Record<string, string>> {
  // no prototype, so that `__proto__` is a name like any other
  const record = Object.create(null) as Record<string, string>;
  for (const text of texts) {
    const [name, value] = splitPair(option, text);
    if (name in record) throw usage(`${option} gives ${name} twice`);
    record[name] = value;
  }
  return record;
}

/** A whole number from `low` to `high`, such as 4096 or 1e6. */
export const wholeNumber = (option: string, text: string, low: number, high: number): number =>
  wholeIn(`${option} ${JSON.stringify(text)}`, text, low, high);

/** The same, called as `what` says where it is none. */
function wholeIn(what: string, text: string, low: number, high: number): number {
  const value = parseDecimal(text.trim());
  const range = high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`;
  if (value === null || !isInteger(value) || value.num < BigInt(low) || value.num > BigInt(high))
    throw usage(`${what} is no whole number ${range}`);
  return Number(value.num);
}

/** The seed of weights and random values: a u32. */
export const seedOf = (text: string | undefined): number =>
  text === undefined ? 0 : wholeNumber("--seed", text, 0, 0xffffffff);

/** Any finite number. */
export function anyNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw usage(`${option} ${JSON.stringify(text)} is no number`);
  return value;
}

/** A positive number such as 16.5e18. */
export function positiveNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value <= 0)
    throw usage(`${option} ${JSON.stringify(text)} is no positive number`);
  return value;
}

const UNITS: ReadonlyMap<string, number> = new Map(
  ["", "K", "M", "G", "T"].map((prefix, power) => [prefix, 1024 ** power]),
);

/** `2GiB`, `512M`, `1.5 GiB`, `1000000`: bytes, in powers of 1024. */
export function bytesOf(option: string, text: string): number {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$/i.exec(text);
  const bytes = found ? Math.floor(Number(found[1]) * UNITS.get(found[2]!.toUpperCase())!) : 0;
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw usage(`${option} ${JSON.stringify(text)} is no number of bytes`, "write 2GiB, 512MiB, or a number of bytes");
  return bytes;
}

/** `3,5,0` */
export const wholeNumbers = (option: string, text: string): readonly number[] =>
  text.split(",").map((part) => wholeNumber(option, part.trim(), 0, 0xffffffff));

/** `B=1,T=2048` */
export function extentsOf(option: string, text: string): ReadonlyMap<string, number> {
  const given = pairs(
    option,
    text.split(",").filter((part) => part.trim() !== ""),
  );
  return new Map(
    Object.entries(given).map(([name, value]) => [name, wholeIn(`${option} ${name}=${value}`, value, 1, MOST_EXTENT)]),
  );
}

/** For commander: every use of a repeatable option. */
export const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
