// Inputs of a run: read from arrays of any form, checked, and packed into the device's words.
import { countOf } from "../../ground/base/collections.js";
import type { Program, ProgramInput } from "../program/program.js";
import type { Sizes } from "../../ground/size/axes.js";
import { wordsFor, type DType, type Words } from "../../ground/base/dtype.js";
import { roundToF16 } from "../../ground/base/f16.js";
import { InputError } from "../device/errors.js";
import { forEachRun, packedLength, type PackedLayout } from "./packing.js";
import { inspect } from "../../ground/base/shown.js";

export type NumberArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** Nested arrays, all of equal length on each level. */
export type Nested = number | boolean | readonly Nested[];

/** An input of a run: nested arrays; flat values (row-major) with their shape; or, for one dimension, a typed array. */
export type InputValue =
  | Nested
  | NumberArray
  | { readonly data: NumberArray | readonly number[] | readonly boolean[]; readonly shape: readonly number[] };

/** Inputs by name. */
export type Inputs = Readonly<Record<string, InputValue>> | ReadonlyMap<string, InputValue>;

/** An input's elements as a flat list, not yet checked. */
export interface FlatInput {
  readonly data: ArrayLike<number | bigint | boolean>;
  readonly shape: readonly number[];
}

/** Flattens one input. Throws InputError if it is not a tensor. */
export function flatten(name: string, value: unknown): FlatInput {
  if (typeof value === "number" || typeof value === "boolean") return { data: [value], shape: [] };
  if (isNumberArray(value)) return { data: value, shape: [value.length] };
  if (Array.isArray(value)) return flattenNested(name, value);
  if (typeof value === "object" && value !== null && "data" in value && "shape" in value)
    return flattenShaped(name, value);
  throw new InputError(name, `input ${name} is ${describe(value)}`, "give nested arrays, or { data, shape }");
}

export const isNumberArray = (value: unknown): value is NumberArray =>
  ArrayBuffer.isView(value) && !(value instanceof DataView);

const describe = (value: unknown): string =>
  value === null
    ? "null"
    : value === undefined
      ? "missing"
      : typeof value === "object"
        ? "an object without data and shape"
        : `a ${typeof value}`;

function flattenShaped(name: string, { data, shape }: { readonly data: unknown; readonly shape: unknown }): FlatInput {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0))
    throw new InputError(name, `the shape of input ${name} is not a list of whole numbers`);
  if (!isNumberArray(data) && !Array.isArray(data))
    throw new InputError(name, `the data of input ${name} is not an array`);
  const dims = shape as readonly number[]; // checked above
  const elements = countOf(dims);
  if (data.length !== elements)
    throw new InputError(
      name,
      `input ${name} has ${data.length} values, its shape [${dims.join(", ")}] has ${elements}`,
    );
  return { data: data as FlatInput["data"], shape: dims }; // each element is checked when it is converted
}

function flattenNested(name: string, value: readonly unknown[]): FlatInput {
  const shape: number[] = [];
  for (let v: unknown = value; Array.isArray(v); v = v[0]) {
    shape.push(v.length);
    if (shape.length > 16) throw new InputError(name, `input ${name} is nested more than 16 deep`);
  }
  const data: (number | boolean)[] = [];
  const index = shape.map(() => 0);
  const element = (depth: number): string => elementName(name, index.slice(0, depth));
  const walk = (v: unknown, depth: number): void => {
    if (depth === shape.length) {
      if (Array.isArray(v)) throw new InputError(name, `${element(depth)} is a list, but the first entry is not`);
      if (typeof v !== "number" && typeof v !== "boolean")
        throw new InputError(name, `${element(depth)} is ${inspect(v)}, not a number`);
      data.push(v);
      return;
    }
    if (!Array.isArray(v)) throw new InputError(name, `${element(depth)} is not a list, but its neighbours are`);
    if (v.length !== shape[depth]) {
      const first = elementName(name, shape.slice(0, depth).fill(0));
      throw new InputError(
        name,
        `${element(depth)} has ${v.length} entries, ${first} has ${shape[depth]}`,
        "pad sequences to one length and give `lengths`",
      );
    }
    for (let i = 0; i < v.length; i++) {
      index[depth] = i;
      walk(v[i], depth + 1);
    }
  };
  walk(value, 0);
  return { data, shape };
}

const elementName = (name: string, index: readonly number[]): string =>
  index.length === 0 ? `input ${name}` : `${name}${index.map((i) => `[${i}]`).join("")}`;

/** Checks an input's values and packs them in the device's layout. Padding after a sequence's end is dropped unread. */
export function packInput(input: ProgramInput, flat: FlatInput, sizes: Sizes): Words {
  const check = checker(input, flat);
  if (!input.packing)
    return convertRun(input.dtype, flat, wordsFor(input.dtype, flat.data.length), 0, 0, flat.data.length, check);
  const counts = sizes.sequence(input.packing.axis);
  const layout: PackedLayout = {
    shape: flat.shape,
    batchDim: input.packing.batchDim,
    tokenDim: input.packing.tokenDim,
    starts: counts.starts(),
    counts: counts.list,
    rows: counts.rows,
  };
  const out = wordsFor(input.dtype, packedLength(layout));
  forEachRun(layout, (packed, unfolded, length) => convertRun(input.dtype, flat, out, packed, unfolded, length, check));
  return out;
}

type Check = (value: number | bigint | boolean, at: number) => number;

function convertRun(
  dtype: DType,
  flat: FlatInput,
  out: Words,
  to: number,
  from: number,
  length: number,
  check: Check,
): Words {
  if (dtype === "f32" && flat.data instanceof Float32Array) {
    out.set(flat.data.subarray(from, from + length), to);
    return out;
  }
  for (let i = 0; i < length; i++) out[to + i] = check(flat.data[from + i]!, from + i);
  return out;
}

/** Returns a function that converts an element to a number, or throws an InputError with the element's place. */
function checker(input: ProgramInput, flat: FlatInput): Check {
  const { name, dtype, least, below } = input;
  const fail = (value: unknown, at: number, rule: string): never => {
    throw new InputError(name, `${elementName(name, indexOf(at, flat.shape))} is ${inspect(value)}: ${rule}`);
  };
  const float = (value: number | bigint | boolean, at: number): number =>
    typeof value === "number" ? value : fail(value, at, `${dtype} takes numbers`);
  const whole =
    (low: number, high: number): Check =>
    (value, at) => {
      const n = typeof value === "bigint" ? Number(value) : value;
      if (typeof n !== "number" || !Number.isInteger(n) || n < low || n > high)
        return fail(value, at, `${dtype} takes whole numbers from ${low} to ${high}`);
      if (below !== null && (n >= below || n < least)) return fail(n, at, `it must be from ${least} to ${below - 1}`);
      return n;
    };
  switch (dtype) {
    case "f32":
      return float;
    case "f16":
      return (value, at) => roundToF16(float(value, at));
    case "u32":
      return whole(0, 0xffffffff);
    case "i32":
      return whole(-0x80000000, 0x7fffffff);
    case "bool":
      return (value, at) =>
        value === true || value === 1
          ? 1
          : value === false || value === 0
            ? 0
            : fail(value, at, "bool takes true and false, or 1 and 0");
    default:
      return dtype satisfies never;
  }
}

function indexOf(at: number, shape: readonly number[]): readonly number[] {
  const index: number[] = [];
  for (let i = shape.length - 1; i >= 0; i--) {
    index.unshift(at % shape[i]!);
    at = Math.floor(at / shape[i]!);
  }
  return index;
}

/** The inputs of a program by name, each as one list of numbers; throws InputError. */
export function flattenAll(program: Pick<Program, "inputs">, inputs: Inputs): ReadonlyMap<string, FlatInput> {
  if (typeof inputs !== "object" || inputs === null || isNumberArray(inputs) || Array.isArray(inputs))
    throw new InputError(
      null,
      "the inputs are not an object of tensors by name",
      "give `{ tokens: [[1, 2]] }`, or a Map",
    );
  const entries = inputs instanceof Map ? (inputs as ReadonlyMap<string, InputValue>) : new Map(Object.entries(inputs));
  const names = program.inputs.map((i) => i.name);
  for (const name of entries.keys())
    if (!names.includes(name))
      throw new InputError(name, `the model has no input ${name}`, `it takes ${names.join(", ") || "none"}`);
  return new Map(
    names.map((name) => {
      if (!entries.has(name)) throw new InputError(name, `input ${name} is missing`);
      return [name, flatten(name, entries.get(name))];
    }),
  );
}
