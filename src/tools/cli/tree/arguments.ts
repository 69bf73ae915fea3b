// Parses the values of options: name=value, numbers, lists.
import { MAX_EXTENT } from "../../../ground/size/counts.js";
import { isInteger, parseDecimal } from "../../../ground/numerics/rational.js";
import { parseRatio } from "../../train/schedule.js";
import { misuse } from "../terminal/exit.js";

/** `name=value` → both sides; the value may hold further equal signs. */
export function splitPair(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at <= 0) throw misuse(`${option} ${JSON.stringify(text)} has no name and value`, `write ${option} name=value`);
  return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

/** An origin as browsers send it, `null` of pages that have none, or `*`: nothing else is ever matched. */
export function originOf(option: string, text: string): string {
  const web = /^https?:/i.test(text);
  const known = web && URL.canParse(text) ? new URL(text).origin : null;
  if (text === "*" || text === "null" || (web ? text === known : /^[a-z][a-z\d+.-]*:\/\/[^/\s?#]+$/.test(text)))
    return text;
  throw misuse(
    `${option} ${JSON.stringify(text)} is not an origin`,
    known === null ? "write scheme and host, such as https://example.org" : `write it as browsers do: ${known}`,
  );
}

/** A name as a `Host` header has it, without its port. */
export function hostOf(option: string, text: string): string {
  if (/^(?:[\w.-]+|\[[\da-f:.]+\])$/i.test(text)) return text;
  throw misuse(
    `${option} ${JSON.stringify(text)} is not a name of a host`,
    "write it without scheme, port and path, such as models.example.org or [fd00::1]",
  );
}

/** Values by name. It has no prototype, so that `__proto__` is a name like any other. */
export type Pairs = Readonly<Record<string, string>>;

/** Merges pairs; later ones override earlier ones of the same name. */
export const mergedPairs = (...all: readonly Pairs[]): Pairs => Object.assign(Object.create(null) as Pairs, ...all);

/** The pairs with one more `name=value`. */
export function withPair(option: string, text: string, before: Pairs = {}): Pairs {
  const [name, value] = splitPair(option, text);
  if (Object.hasOwn(before, name)) throw misuse(`${option} sets ${name} twice`);
  return mergedPairs(before, { [name]: value });
}

/** A path, or paths by the block that each is for. */
export type WeightsFlag = string | Pairs;

/**
 * `path`, or one more `block=path`: a name, or names with dots between, before the first equal sign. Another path with
 * an equal sign begins with a folder: `./a=b`.
 */
export function withWeights(option: string, text: string, before?: WeightsFlag): WeightsFlag {
  const hint = `give one path, or a path for each block: ${option} teacher=path ${option} student=path`;
  if (text.trim() === "") throw misuse(`${option} is empty`, hint);
  const byBlock = /^[A-Za-z_]\w*(?:\.\w+)*=/.test(text);
  if (before !== undefined && (!byBlock || typeof before === "string")) throw misuse(`${option} is given twice`, hint);
  if (!byBlock) return text;
  const pairs = withPair(option, text, before);
  if (Object.values(pairs).includes("")) throw misuse(`${option} ${text} names no path`, hint);
  return pairs;
}

/** A whole number from `low` to `high`, such as 4096 or 1e6. */
export const wholeNumber = (option: string, text: string, low: number, high: number): number =>
  wholeIn(
    `${option} ${JSON.stringify(text)}`,
    text,
    low,
    high,
    option === "--length" && /^[A-Z]\w*=\d/.test(text) ? `along a named axis: --at ${text}` : null,
  );

/** The same, with `what` as the name in messages. */
function wholeIn(what: string, text: string, low: number, high: number, hint: string | null = null): number {
  const value = parseDecimal(text.trim());
  const range = high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`;
  if (value === null || !isInteger(value) || value.num < BigInt(low) || value.num > BigInt(high))
    throw misuse(`${what} is not a whole number ${range}`, hint);
  return Number(value.num);
}

/** Adds `name=a,b,c` to earlier names: the values that each may have. */
export function withValues(
  option: string,
  text: string,
  before: ReadonlyMap<string, readonly string[]> = new Map(),
): ReadonlyMap<string, readonly string[]> {
  const [name, list] = splitPair(option, text);
  if (before.has(name)) throw misuse(`${option} sets ${name} twice`);
  const values = list.split(",").map((value) => value.trim());
  const repeated = values.find((value, i) => value === "" || values.indexOf(value) < i);
  if (repeated !== undefined)
    throw misuse(`${option} ${text}: ${repeated === "" ? "a value is missing" : `${repeated} appears twice`}`);
  return new Map([...before, [name, values]]);
}

/** `a=1,b=2` as texts by name. */
export function pairsOf(option: string, text: string): ReadonlyMap<string, string> {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  return new Map(Object.entries(parts.reduce((before: Pairs, part) => withPair(option, part, before), {})));
}

/** `depth=2,dim=64`: whole numbers of at least 1 by name. */
export const stepsOf = (option: string, text: string): ReadonlyMap<string, number> =>
  new Map(
    [...pairsOf(option, text)].map(([name, value]) => [name, wholeIn(`${option} ${name}=${value}`, value, 1, 1e6)]),
  );

/** Any finite number. */
export function anyNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw misuse(`${option} ${JSON.stringify(text)} is not a number`);
  return value;
}

/** A positive number such as 16.5e18. */
export function positiveNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value <= 0)
    throw misuse(`${option} ${JSON.stringify(text)} is not a positive number`);
  return value;
}

/** `5%`, `0.05`, `1/20`: a share below 1 of a text. */
export function shareOf(option: string, text: string): number {
  const share = parseRatio(text.trim());
  if (share !== null && share >= 0 && share < 1) return share;
  throw misuse(`${option} ${JSON.stringify(text)} is not a share of the text, such as 5%`);
}

const UNITS: ReadonlyMap<string, number> = new Map(
  ["", "K", "M", "G", "T"].map((prefix, power) => [prefix, 1024 ** power]),
);

/** `2GiB`, `512M`, `1.5 GiB`, `1000000`: bytes, in powers of 1024. */
export function bytesOf(option: string, text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$/i.exec(text);
  const bytes = match ? Math.floor(Number(match[1]) * UNITS.get(match[2]!.toUpperCase())!) : 0;
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw misuse(
      `${option} ${JSON.stringify(text)} is not a number of bytes`,
      "write 2GiB, 512MiB, or a number of bytes",
    );
  return bytes;
}

const MOST_SECONDS = 24 * 3600;

/** `90`, `90s`, `2m`, `1h` in seconds. */
export function durationOf(option: string, text: string): number {
  const parts = /^(\d+(?:\.\d+)?)(s|m|h)?$/.exec(text.trim());
  // as the pattern says
  const seconds = parts ? Number(parts[1]) * { s: 1, m: 60, h: 3600 }[(parts[2] ?? "s") as "s" | "m" | "h"] : NaN;
  if (!(seconds > 0 && seconds <= MOST_SECONDS))
    throw misuse(`${option} ${JSON.stringify(text)} is not a time up to a day, such as 90s or 5m`);
  return seconds;
}

/** `3,5,0` */
export const wholeNumbers = (option: string, text: string): readonly number[] =>
  text.split(",").map((part) => wholeNumber(option, part.trim(), 0, 0xffffffff));

/** `3,5,0`, or one more `S=3,5,0`: numbers by the name of an axis. */
export function withLengths(option: string, text: string, before?: LengthsFlag): LengthsFlag {
  const byAxis = /^[A-Za-z_]\w*=/.test(text);
  if (before !== undefined && (!byAxis || Array.isArray(before)))
    throw misuse(`${option} is given twice`, `give one list, or a list for each axis: ${option} S=4,2 ${option} T=3,5`);
  if (!byAxis) return wholeNumbers(option, text);
  const [axis, list] = splitPair(option, text);
  const known = (before ?? {}) as Readonly<Record<string, readonly number[]>>; // no list, as checked above
  if (Object.hasOwn(known, axis)) throw misuse(`${option} sets ${axis} twice`);
  return { ...known, [axis]: wholeNumbers(`${option} ${axis}=`, list) };
}

/** Numbers of tokens of each sequence, or such lists by the name of an axis. */
export type LengthsFlag = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** `B=1,T=2048` */
export const extentsOf = (option: string, text: string): ReadonlyMap<string, number> =>
  new Map(
    [...pairsOf(option, text)].map(([name, value]) => [
      name,
      wholeIn(`${option} ${name}=${value}`, value, 1, MAX_EXTENT),
    ]),
  );
