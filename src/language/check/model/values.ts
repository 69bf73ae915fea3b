// Creates values of expressions, and formats them for messages.
import {
  compare,
  isInteger,
  ONE,
  printRational,
  rational,
  toNumber,
  type Rational,
} from "../../../ground/numerics/rational.js";
import { constantOf, printSize, type Size } from "../../../ground/size/size.js";
import type { ConstValue, ListValue } from "./context.js";
import type { LogicalType } from "./model.js";

export type NumberValue = Extract<ConstValue, { kind: "number" }>;
export type SizeValue = Extract<ConstValue, { kind: "size" }>;

/** Cached integer values of ranges: one object each, shared by all lists. */
const small: NumberValue[] = [];
const SMALL = 100_000;

export function int(value: number): NumberValue {
  if (value < 0 || value > SMALL) return { kind: "number", value: rational(value), form: "int" };
  return (small[value] ??= { kind: "number", value: rational(value), form: "int" });
}
export const bool = (value: boolean): ConstValue => ({ kind: "bool", value });
export const numberOf = (value: Rational, form: NumberValue["form"]): NumberValue => ({ kind: "number", value, form });

/** Converts a size to a value: a number if it is constant. */
export function sizeValue(size: Size): NumberValue | SizeValue {
  const c = constantOf(size);
  if (c !== null) return numberOf(c, isInteger(c) ? "int" : "ratio");
  return typeof size === "number" ? int(size) : { kind: "size", size };
}

const DESCRIPTIONS: { readonly [K in ConstValue["kind"]]: (value: Extract<ConstValue, { kind: K }>) => string } = {
  number: (value) => `the number ${printNumber(value)}`,
  bool: ({ value }) => String(value),
  string: ({ value }) => `the string ${quote(value)}`,
  none: () => "None",
  list: ({ items }) => (items.length === 0 ? "an empty list" : `a list of ${items.length}`),
  instance: ({ instance }) => `an instance of ${instance.block}`,
  size: ({ size }) => describeSize(size),
  tensor: ({ value }) => `a tensor ${printType(value.type)}`,
  route: () => "a route",
  choice: () => "a choice of entries",
  experts: ({ blocks }) => `a list of ${blocks.items.length} indexed by a choice`,
  tuple: ({ items, names }) => (items.length === 0 ? "nothing" : `${items.length} results (${names.join(", ")})`),
  error: () => "an error",
};

/** Describes a value with an article, for messages: `the number 3`, `a tensor f32[B, T]`. */
export const describe = (value: ConstValue): string =>
  (DESCRIPTIONS[value.kind] as (value: ConstValue) => string)(value); // by its kind

function describeSize(size: Size): string {
  const live = /^live\((\w+)\)$/.exec(printSize(size))?.[1];
  return live === undefined ? `the size ${showSize(size)}` : `the live parameter \`${live}\``;
}

/** Prints a size in the syntax of the language: `round(c*T)`, `T - 20`. */
export const showSize = (size: Size): string =>
  printSize(size)
    .replace(/live\((\w+)\)/g, "$1")
    .replaceAll(" + -", " - ");

/**
 * Prints a value in the syntax of the language: `12`, `12.5%`, `1e-5`, `"swiglu"`, `[1, 2]`. Calls `spend` for each
 * item, because a shared list is printed at each occurrence.
 */
export function printValue(value: ConstValue, spend: (items: number) => void): string {
  switch (value.kind) {
    case "number":
      return printNumber(value);
    case "string":
      spend(Math.ceil(value.value.length / CHARACTERS_AN_ITEM));
      return quote(value.value);
    case "bool":
      return String(value.value);
    case "list":
      spend(value.items.length);
      return `[${value.items.map((item) => printValue(item, spend)).join(", ")}]`;
    case "size":
      return printSize(value.size);
    default:
      return describe(value);
  }
}

/** The number of string characters that count as one work item. */
const CHARACTERS_AN_ITEM = 64;

export const quote = (text: string): string => JSON.stringify(text);

export function printNumber({ value, form }: NumberValue): string {
  // A quotient of integers is a ratio, but above 1 it is seldom meant as a share.
  if (form === "ratio" && value.num >= 0n && value.num <= value.den) {
    const percent = decimal(rational(value.num * 100n, value.den));
    return percent === null ? printRational(value) : `${percent}%`;
  }
  return decimal(value) ?? printRational(value);
}

/** The decimal form with at most nine places, or null. */
function decimal(value: Rational): string | null {
  if (isInteger(value)) return String(value.num);
  let { den } = value;
  let decimals = 0;
  for (; den % 10n === 0n; decimals++) den /= 10n;
  let twos = 0;
  let fives = 0;
  for (; den % 2n === 0n; twos++) den /= 2n;
  for (; den % 5n === 0n; fives++) den /= 5n;
  decimals += Math.max(twos, fives);
  if (den !== 1n || decimals > 9) return null;
  const negative = value.num < 0n;
  const digits = String(((negative ? -value.num : value.num) * 10n ** BigInt(decimals)) / value.den).padStart(
    decimals + 1,
    "0",
  );
  const text = `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
  const small = compare(value, ONE) < 0 && decimals > 4 && !negative;
  return `${negative ? "-" : ""}${small ? toNumber(value).toExponential() : text}`;
}

export const printType = (type: LogicalType): string => `${type.dtype}[${type.shape.map(printSize).join(", ")}]`;

/** Whether a value, or a nested item, is an error. */
export function hasError(value: ConstValue): boolean {
  if (value.kind === "error") return true;
  return value.kind === "list" ? value.broken : value.kind === "tuple" && value.items.some(hasError);
}

export const listOf = (items: readonly ConstValue[]): ListValue => ({
  kind: "list",
  items,
  broken: items.some(hasError),
});
