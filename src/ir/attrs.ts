// The attributes of each operator and how each is written: what printing, parsing and verifying need to know of the vocabulary at run time.
import type { DType } from "../size/dtype.js";
import { parseSize } from "../size/parse-size.js";
import { printSize, type Size } from "../size/size.js";
import type { OpAttrs, OpName, WeightPart } from "./vocabulary.js";

/** What an attribute holds. */
interface AttrTypes {
  text: string;
  number: number;
  flag: boolean;
  dtype: DType;
  size: Size;
  sizes: readonly Size[];
  numbers: readonly number[];
  numbersOrNull: readonly number[] | null;
  numberOrNull: number | null;
  /** May be absent. */
  part: WeightPart | undefined;
}

export type AttrKind = keyof AttrTypes;

/** The kinds whose values an attribute of this type may have; `dtype` also stands for a part of the dtypes. */
type KindOf<T> = { [K in AttrKind]: [T, AttrTypes[K]] extends [AttrTypes[K], T] ? K : never }[AttrKind] extends infer Exact
  ? [Exact] extends [never]
    ? T extends DType
      ? "dtype"
      : never
    : Exact
  : never;

/** Total by type: an attribute without a kind, or of another, does not compile. */
export const attrKinds: { readonly [K in OpName]: { readonly [A in keyof OpAttrs[K]]-?: KindOf<OpAttrs[K][A]> } } = {
  input: { name: "text", dtype: "dtype", shape: "sizes" },
  weight: { path: "text", dtype: "dtype", shape: "numbers", part: "part" },
  state: { name: "text", dtype: "dtype", shape: "sizes" },
  live: { name: "text" },
  seed: {},
  constant: { value: "number", dtype: "dtype", shape: "sizes" },
  size: { size: "size", dtype: "dtype" },
  starts: { axis: "text" },
  rope_table: { positions: "size", width: "number", theta: "number", frequencies: "numbersOrNull", scale: "number" },
  pick: { result: "number" },
  reshape: { shape: "sizes" },
  permute: { order: "numbers" },
  broadcast: { shape: "sizes" },
  slice: { axis: "number", start: "number", stop: "number" },
  concat: { axis: "number" },
  cast: { dtype: "dtype" },
  stop_gradient: {},
  barrier: {},
  add: {},
  sub: {},
  mul: {},
  div: {},
  pow: {},
  min: {},
  max: {},
  neg: {},
  exp: {},
  log: {},
  sqrt: {},
  rsqrt: {},
  abs: {},
  sin: {},
  cos: {},
  tanh: {},
  sigmoid: {},
  relu: {},
  silu: {},
  gelu: {},
  gelu_tanh: {},
  softplus: {},
  powi: { exponent: "number" },
  eq: {},
  ne: {},
  lt: {},
  le: {},
  gt: {},
  ge: {},
  and: {},
  or: {},
  not: {},
  where: {},
  sum: { axes: "numbers", keep: "flag" },
  reduce_max: { axes: "numbers", keep: "flag" },
  reduce_min: { axes: "numbers", keep: "flag" },
  argmax: { axis: "number", keep: "flag" },
  softmax: { axis: "number" },
  matmul: { transposed: "flag" },
  gather: {},
  positions: { axis: "text" },
  segments: { axis: "text" },
  append: { axis: "text" },
  counts: {},
  last: { axis: "text" },
  unpack: { dim: "number", axis: "text" },
  pack: { dim: "number", axis: "text" },
  mask: { dim: "number", fill: "number" },
  top: { axis: "text" },
  above: { axis: "text" },
  span: { axis: "text" },
  join: { axis: "text" },
  take: { dim: "number" },
  put: { dim: "number" },
  set: { dim: "number" },
  route_mask: { axis: "text" },
  rope: {},
  attention: { causal: "flag", window: "number", scale: "number" },
  cross_entropy: {},
  contract: {},
  gather_grad: { rows: "size" },
  cross_entropy_grad: {},
  attention_kept: { causal: "flag", window: "number", scale: "number" },
  attention_grad: { causal: "flag", window: "number", scale: "number" },
  adamw: { beta1: "number", beta2: "number", eps: "number" },
  sgd: { momentum: "number", nesterov: "flag" },
  class_sums: { first: "number", classes: "number" },
  class_grad: { first: "number", classes: "number" },
  sample: {},
  mark: {},
  random_uniform: { shape: "sizes", dim: "numberOrNull", stream: "number" },
  random_normal: { shape: "sizes", dim: "numberOrNull", stream: "number" },
};

export const isOpName = (name: string): name is OpName => Object.hasOwn(attrKinds, name);

const entriesOf = (op: OpName): [string, AttrKind][] => Object.entries<AttrKind>(attrKinds[op]);

/** The attributes as one line of JSON, sizes as text; empty where the operator has none. */
export function printAttrs(op: OpName, attrs: object): string {
  const entries = entriesOf(op);
  if (entries.length === 0) return "";
  const values = new Map<string, unknown>(Object.entries(attrs));
  const given = entries.filter(([name]) => values.get(name) !== undefined);
  return ` {${given.map(([name, kind]) => `${JSON.stringify(name)}:${JSON.stringify(encode(kind, values.get(name)))}`).join(",")}}`;
}

/** Sizes that are no numbers become text, and so do the numbers that JSON lacks. */
function encode(kind: AttrKind, value: unknown): unknown {
  switch (kind) {
    case "size":
      return encodeSize(value as Size); // by its kind
    case "sizes":
      return (value as readonly Size[]).map(encodeSize); // by its kind
    case "number":
    case "numberOrNull":
      return encodeNumber(value);
    case "numbers":
    case "numbersOrNull":
      return Array.isArray(value) ? value.map(encodeNumber) : value;
    default:
      return value;
  }
}

const encodeSize = (size: Size): string | number => (typeof size === "number" ? size : printSize(size));
const encodeNumber = (value: unknown): unknown =>
  typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0)) ? (Object.is(value, -0) ? "-0" : `${value}`) : value;

/** Attributes from JSON, in the order of the vocabulary. Throws a SyntaxError that says which attribute is amiss. */
export function parseAttrs<K extends OpName>(op: K, json: string): OpAttrs[K] {
  const values: unknown = JSON.parse(json === "" ? "{}" : json);
  if (typeof values !== "object" || values === null || Array.isArray(values)) throw new SyntaxError(`attributes of ${op} must be an object`);
  const given = new Map<string, unknown>(Object.entries(values));
  const attrs: [string, unknown][] = entriesOf(op).flatMap(([name, kind]): [string, unknown][] => {
    if (!given.has(name) && holds(kind, undefined)) return [];
    if (!given.has(name)) throw new SyntaxError(`${op} lacks the attribute ${name}`);
    const value = decode(kind, given.get(name));
    given.delete(name);
    if (!holds(kind, value)) throw new SyntaxError(`attribute ${name} of ${op} must be ${DESCRIPTIONS[kind]}`);
    return [[name, value]];
  });
  for (const name of given.keys()) throw new SyntaxError(`${op} has no attribute ${name}`);
  return Object.fromEntries(attrs) as OpAttrs[K]; // each attribute has been checked against its kind
}

function decode(kind: AttrKind, value: unknown): unknown {
  switch (kind) {
    case "size":
      return decodeSize(value);
    case "sizes":
      return Array.isArray(value) ? value.map(decodeSize) : value;
    case "number":
    case "numberOrNull":
      return decodeNumber(value);
    case "numbers":
    case "numbersOrNull":
      return Array.isArray(value) ? value.map(decodeNumber) : value;
    default:
      return value;
  }
}

const decodeSize = (value: unknown): unknown => (typeof value === "string" ? parseSize(value) : value);
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
  size: "a size",
  sizes: "a list of sizes",
  numbers: "a list of numbers",
  numbersOrNull: "a list of numbers or null",
  numberOrNull: "a number or null",
  part: "a part of a weight: axis, start and of",
};

const isSize = (value: unknown): boolean =>
  typeof value === "number" ? Number.isSafeInteger(value) : typeof value === "object" && value !== null && "terms" in value && "key" in value;
const isNumbers = (value: unknown): boolean => Array.isArray(value) && value.every((v) => typeof v === "number");
const isPart = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).toSorted().join() === "axis,of,start" &&
  Object.values(value).every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0);
const DTYPES: ReadonlySet<unknown> = new Set<DType>(["f32", "f16", "u32", "i32", "bool"]);

function holds(kind: AttrKind, value: unknown): boolean {
  switch (kind) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    case "dtype":
      return DTYPES.has(value);
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
    case "part":
      return value === undefined || isPart(value);
    default:
      return kind satisfies never;
  }
}

/** What is wrong with the attributes of a node, or null. */
export function attrsProblem(op: OpName, attrs: object): string | null {
  const given = new Map<string, unknown>(Object.entries(attrs));
  for (const [name, kind] of entriesOf(op)) {
    if (!given.has(name) && !holds(kind, undefined)) return `lacks the attribute ${name}`;
    if (!holds(kind, given.get(name))) return `attribute ${name} must be ${DESCRIPTIONS[kind]}`;
    given.delete(name);
  }
  for (const name of given.keys()) return `has no attribute ${name}`;
  return null;
}

/** The sizes and the names of axes that the attributes of a node mention. */
export function sizesInAttrs(op: OpName, attrs: object): { readonly sizes: readonly Size[]; readonly axes: readonly string[] } {
  const values = new Map<string, unknown>(Object.entries(attrs));
  const sizes: Size[] = [];
  const axes: string[] = [];
  for (const [name, kind] of entriesOf(op)) {
    const value = values.get(name);
    if (kind === "size") sizes.push(value as Size); // by its kind
    else if (kind === "sizes") sizes.push(...(value as readonly Size[])); // by its kind
    else if (name === "axis" && kind === "text") axes.push(value as string); // by its kind
  }
  return { sizes, axes };
}
