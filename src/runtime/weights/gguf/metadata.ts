// The values of a GGUF file's keys: numbers, texts, and lists of them.
import { quotedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import type { Cursor } from "./cursor.js";

/** Integers beyond 2^53 are bigints. */
export type GgufValue = number | bigint | boolean | string | GgufList;

/** A list of numbers or of texts; truth values are 0 and 1. */
export type GgufList = readonly string[] | ArrayLike<number> | ArrayLike<bigint>;

/** How a number is read alone, its bytes, and many of them. */
interface Numbers {
  readonly bytes: number;
  readonly one: (cursor: Cursor) => number | bigint;
  /** For aligned bytes in little-endian order. */
  readonly many: (buffer: ArrayBuffer) => ArrayLike<number> | ArrayLike<bigint>;
}

/** By the number that stands for them in a file. */
const NUMBERS: ReadonlyMap<number, Numbers> = new Map<number, Numbers>([
  [0, { bytes: 1, one: (c) => c.u8(), many: (b) => new Uint8Array(b) }],
  [1, { bytes: 1, one: (c) => c.i8(), many: (b) => new Int8Array(b) }],
  [2, { bytes: 2, one: (c) => c.u16(), many: (b) => new Uint16Array(b) }],
  [3, { bytes: 2, one: (c) => c.i16(), many: (b) => new Int16Array(b) }],
  [4, { bytes: 4, one: (c) => c.u32(), many: (b) => new Uint32Array(b) }],
  [5, { bytes: 4, one: (c) => c.i32(), many: (b) => new Int32Array(b) }],
  [6, { bytes: 4, one: (c) => c.f32(), many: (b) => new Float32Array(b) }],
  [10, { bytes: 8, one: (c) => c.u64(), many: (b) => new BigUint64Array(b) }],
  [11, { bytes: 8, one: (c) => c.i64(), many: (b) => new BigInt64Array(b) }],
  [12, { bytes: 8, one: (c) => c.f64(), many: (b) => new Float64Array(b) }],
]);
const [BOOL, STRING, ARRAY] = [7, 8, 9];

/** Reads a value with its type. Throws WeightsError. */
export function readValue(cursor: Cursor, key: string, file: string): GgufValue {
  const fail = (what: string): never => {
    throw new WeightsError(`${file}: the key ${quotedName(key)} ${what}`);
  };
  const type = cursor.u32();
  if (type === ARRAY) return readList(cursor, key, fail);
  if (type === STRING) return cursor.text(`the key ${quotedName(key)}`);
  if (type === BOOL) {
    const value = cursor.u8();
    return value <= 1 ? value === 1 : fail(`is ${value}, neither true nor false`);
  }
  const value = (NUMBERS.get(type) ?? fail(`is of an unknown type, ${type}`)).one(cursor);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function readList(cursor: Cursor, key: string, fail: (what: string) => never): GgufList {
  const type = cursor.u32();
  const what = `the length of the key ${quotedName(key)}`;
  if (type === ARRAY) return fail("is a list of lists");
  if (type === STRING) {
    const texts: string[] = [];
    const each = `a text of the key ${quotedName(key)}`;
    for (let left = cursor.count(what, 8); left > 0; left--) texts.push(cursor.text(each));
    return texts;
  }
  const numbers =
    type === BOOL ? NUMBERS.get(0)! : (NUMBERS.get(type) ?? fail(`is a list of an unknown type, ${type}`));
  const bytes = cursor.bytes(cursor.count(what, numbers.bytes) * numbers.bytes);
  if (type === BOOL && bytes.some((value) => value > 1)) return fail("has values that are neither true nor false");
  return numbers.many(new Uint8Array(bytes).buffer);
}
