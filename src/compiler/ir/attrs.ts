// Prints, parses and checks the attributes of nodes.
import { isDType, REDUCED_TYPES } from "../../ground/base/dtype.js";
import { parseSize } from "../../ground/size/parse-size.js";
import { printSize, type Size } from "../../ground/size/size.js";
import { isPair, mapNumbers, type Pair } from "./pair.js";
import type { AttrKind } from "./schema.js";
import { schemas, type OpAttrs, type OpName } from "./vocabulary.js";

export const isOpName = (name: string): name is OpName => Object.hasOwn(schemas, name);

const entriesOf = (op: OpName): [string, AttrKind][] => Object.entries(schemas[op].attrs);

/** Prints the attributes as one line of JSON, sizes as text; empty if the operator has none. */
export function printAttrs(op: OpName, attrs: object): string {
  const entries = entriesOf(op);
  if (entries.length === 0) return "";
  const values = new Map<string, unknown>(Object.entries(attrs));
  const present = entries.filter(([name]) => values.get(name) !== undefined);
  if (present.length === 0) return "";
  const field = ([name, kind]: (typeof present)[number]): string =>
    `${JSON.stringify(name)}:${JSON.stringify(encode(kind, values.get(name)))}`;
  return ` {${present.map(field).join(",")}}`;
}

/** Encodes symbolic sizes, NaN and infinity, which JSON lacks, as text. */
function encode(kind: AttrKind, value: unknown): unknown {
  switch (kind) {
    case "size":
    case "sizeIfAny":
      return encodeSize(value as Size); // by its kind
    case "sizes":
      return (value as readonly Size[]).map(encodeSize); // by its kind
    case "number":
    case "numberOrNull":
      return encodeNumber(value);
    case "numbers":
    case "numbersOrNull":
      return Array.isArray(value) ? value.map(encodeNumber) : value;
    case "pair":
      return mapNumbers(value as Pair, encodeNumber); // by its kind
    default:
      return value;
  }
}

const encodeSize = (size: Size): string | number => (typeof size === "number" ? size : printSize(size));
const encodeNumber = (value: unknown): unknown =>
  typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
    ? Object.is(value, -0)
      ? "-0"
      : `${value}`
    : value;

/**
 * Parses attributes from JSON, in the order of the vocabulary. Throws a SyntaxError that names the faulty attribute.
 */
export function parseAttrs<K extends OpName>(op: K, json: string): OpAttrs[K] {
  const values: unknown = JSON.parse(json === "" ? "{}" : json);
  if (typeof values !== "object" || values === null || Array.isArray(values))
    throw new SyntaxError(`attributes of ${op} must be an object`);
  const byName = new Map<string, unknown>(Object.entries(values));
  const attrs: [string, unknown][] = entriesOf(op).flatMap(([name, kind]): [string, unknown][] => {
    if (!byName.has(name) && holds(kind, undefined)) return [];
    if (!byName.has(name)) throw new SyntaxError(`${op} lacks the attribute ${name}`);
    const value = decode(kind, byName.get(name));
    byName.delete(name);
    if (!holds(kind, value)) throw new SyntaxError(`attribute ${name} of ${op} must be ${DESCRIPTIONS[kind]}`);
    return [[name, value]];
  });
  for (const name of byName.keys()) throw new SyntaxError(`${op} has no attribute ${name}`);
  return Object.fromEntries(attrs) as OpAttrs[K]; // each attribute has been checked against its kind
}

function decode(kind: AttrKind, value: unknown): unknown {
  switch (kind) {
    case "size":
    case "sizeIfAny":
      return decodeSize(value);
    case "sizes":
      return Array.isArray(value) ? value.map(decodeSize) : value;
    case "number":
    case "numberOrNull":
      return decodeNumber(value);
    case "numbers":
    case "numbersOrNull":
      return Array.isArray(value) ? value.map(decodeNumber) : value;
    case "pair":
      return decodePair(value);
    default:
      return value;
  }
}

const decodeSize = (value: unknown): unknown => (typeof value === "string" ? parseSize(value) : value);
/** Numbers are decoded where the value has the form of a pair but for them; `holds` checks the rest. */
const decodePair = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "steps" in value && Array.isArray(value.steps)
    ? { ...value, steps: value.steps.map((step: unknown) => decodeStep(step)) }
    : value;
const decodeStep = (step: unknown): unknown =>
  typeof step === "object" && step !== null && "value" in step ? { ...step, value: decodeNumber(step.value) } : step;
const SPECIAL: ReadonlyMap<unknown, number> = new Map([
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["NaN", NaN],
  ["-0", -0],
]);
const decodeNumber = (value: unknown): unknown => SPECIAL.get(value) ?? value;

const DESCRIPTIONS: Readonly<Record<AttrKind, string>> = {
  text: "a string",
  number: "a number",
  flag: "true or false",
  dtype: "a dtype",
  numeric: "f32, u32 or i32",
  size: "a size",
  sizes: "a list of sizes",
  numbers: "a list of numbers",
  numbersOrNull: "a list of numbers or null",
  numberOrNull: "a number or null",
  sizeIfAny: "a size, or absent",
  numberIfAny: "a number, or absent",
  flagIfAny: "true or false, or absent",
  part: "a part of a weight: axis, start and of",
  reduced: "bf16 or f16",
  reducedIfAny: "bf16 or f16, or absent",
  pair: "the expression of a pair: operands, steps, mask, bias, weight and cap",
};

const isSize = (value: unknown): boolean =>
  typeof value === "number"
    ? Number.isSafeInteger(value)
    : typeof value === "object" && value !== null && "terms" in value && "key" in value;
const isNumbers = (value: unknown): boolean => Array.isArray(value) && value.every((v) => typeof v === "number");
const isReduced = (value: unknown): boolean => REDUCED_TYPES.some((type) => type === value);
const isPart = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).toSorted().join() === "axis,of,start" &&
  Object.values(value).every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0);

function holds(kind: AttrKind, value: unknown): boolean {
  switch (kind) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    case "dtype":
      return isDType(value);
    case "numeric":
      return value === "f32" || value === "u32" || value === "i32";
    case "size":
      return isSize(value);
    case "sizes":
      return Array.isArray(value) && value.every(isSize);
    case "numbers":
      return isNumbers(value);
    case "numbersOrNull":
      return value === null || isNumbers(value);
    case "numberOrNull":
      return value === null || typeof value === "number";
    case "numberIfAny":
      return value === undefined || typeof value === "number";
    case "sizeIfAny":
      return value === undefined || isSize(value);
    case "flagIfAny":
      return value === undefined || typeof value === "boolean";
    case "part":
      return value === undefined || isPart(value);
    case "reduced":
      return isReduced(value);
    case "reducedIfAny":
      return value === undefined || isReduced(value);
    case "pair":
      return isPair(value);
    default:
      return kind satisfies never;
  }
}

/** Describes the fault in a node's attributes; null if there is none. */
export function attrsProblem(op: OpName, attrs: object): string | null {
  const byName = new Map<string, unknown>(Object.entries(attrs));
  for (const [name, kind] of entriesOf(op)) {
    if (!byName.has(name) && !holds(kind, undefined)) return `lacks the attribute ${name}`;
    if (!holds(kind, byName.get(name))) return `attribute ${name} must be ${DESCRIPTIONS[kind]}`;
    byName.delete(name);
  }
  for (const name of byName.keys()) return `has no attribute ${name}`;
  return null;
}

/** The sizes and the names of axes that the attributes of a node mention. */
export function sizesInAttrs(
  op: OpName,
  attrs: object,
): { readonly sizes: readonly Size[]; readonly axes: readonly string[] } {
  const values = new Map<string, unknown>(Object.entries(attrs));
  const sizes: Size[] = [];
  const axes: string[] = [];
  for (const [name, kind] of entriesOf(op)) {
    const value = values.get(name);
    if (kind === "size" || (kind === "sizeIfAny" && value !== undefined)) sizes.push(value as Size); // by its kind
    else if (kind === "sizes") sizes.push(...(value as readonly Size[])); // by its kind
    else if (name === "axis" && kind === "text") axes.push(value as string); // by its kind
  }
  return { sizes, axes };
}
