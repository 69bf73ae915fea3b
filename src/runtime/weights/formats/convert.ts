// Converts between the element types of a file and the words of a program.
import { bug } from "../../../ground/base/invariant.js";
import { isFloat, type DType, type Words } from "../../../ground/base/dtype.js";
import { f16Values, roundToF16 } from "../../../ground/base/f16.js";
import { fromBlocks, isBlockType } from "../../program/encodings/block-file.js";

const FLOATS: ReadonlySet<string> = new Set(["F32", "F16", "BF16", "Q8_0", "Q4_0"]);
const INTEGERS: ReadonlySet<string> = new Set(["I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"]);

/**
 * Whether a file's element type can be converted to a program's: floats of up to 32 bits to floats, integers to
 * integers.
 */
export function converts(from: string, to: DType): boolean {
  if (isFloat(to)) return FLOATS.has(from);
  if (to === "bool") return from === "BOOL" || from === "U8";
  return INTEGERS.has(from) && from !== "BOOL";
}

/**
 * Converts little-endian bytes, or returns a string that says which value does not fit. `converts` must allow the
 * types. `first`: the number of the first value, for that string.
 */
export function fromBytes(bytes: Uint8Array, from: string, to: DType, first = 0): Words | string {
  const data = isBlockType(from) ? fromBlocks(bytes, from) : readable(bytes, from);
  switch (to) {
    case "f32":
    case "f16":
      return toFloats(data, isBlockType(from) ? "F32" : from, to);
    case "u32":
      return toIntegers(data, new Uint32Array(data.length), 0, 0xffffffff, "u32", first);
    case "i32":
      return toIntegers(data, new Int32Array(data.length), -0x80000000, 0x7fffffff, "i32", first);
    case "bool":
      return toIntegers(data, new Uint32Array(data.length), 0, 1, "bool", first);
    default:
      return to satisfies never;
  }
}

type Readable =
  | Float32Array
  | Uint16Array
  | Int16Array
  | Uint8Array
  | Int8Array
  | Uint32Array
  | Int32Array
  | BigInt64Array
  | BigUint64Array;

/** A typed view of the bytes, copied if they are not aligned. */
function readable(bytes: Uint8Array, from: string): Readable {
  // `slice` of a Buffer would share its memory
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset: at, byteLength: n } = aligned;
  switch (from) {
    case "F32":
      return new Float32Array(buffer, at, n / 4);
    case "F16":
    case "BF16":
    case "U16":
      return new Uint16Array(buffer, at, n / 2);
    case "I16":
      return new Int16Array(buffer, at, n / 2);
    case "I8":
      return new Int8Array(buffer, at, n);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer, at, n);
    case "U32":
      return new Uint32Array(buffer, at, n / 4);
    case "I32":
      return new Int32Array(buffer, at, n / 4);
    case "I64":
      return new BigInt64Array(buffer, at, n / 8);
    case "U64":
      return new BigUint64Array(buffer, at, n / 8);
    default:
      return bug(`dtype ${from} does not convert`);
  }
}

function toFloats(data: Readable, from: string, to: "f32" | "f16"): Float32Array {
  if (from === "F32" && to === "f32") return data as Float32Array; // `readable` made it one
  const out = new Float32Array(data.length);
  const words = new Uint32Array(out.buffer);
  const bits = data as Exclude<Readable, BigInt64Array | BigUint64Array>; // F32, F16 and BF16 are no such
  if (from === "F16") {
    const values = f16Values();
    for (let i = 0; i < out.length; i++) out[i] = values[bits[i]!]!;
  } else if (from === "BF16") for (let i = 0; i < out.length; i++) words[i] = bits[i]! << 16;
  else out.set(bits);
  if (to === "f16" && from !== "F16") for (let i = 0; i < out.length; i++) out[i] = roundToF16(out[i]!);
  return out;
}

function toIntegers<T extends Uint32Array | Int32Array>(
  data: Readable,
  out: T,
  low: number,
  high: number,
  to: DType,
  first: number,
): T | string {
  for (let i = 0; i < out.length; i++) {
    const value = Number(data[i]);
    if (value < low || value > high) return `element ${first + i} is ${data[i]}, which ${to} cannot represent`;
    out[i] = value;
  }
  return out;
}
