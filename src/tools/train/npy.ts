// Where NumPy's `.npy` files hold their values (NEP 1, "A Simple File Format for NumPy Arrays").
import { countOf } from "../../ground/base/collections.js";
import { TrainError } from "./errors.js";

/** An array in a file, row-major. */
export interface StoredArray {
  readonly shape: readonly number[];
  /** The type of its values, by safetensors' name. */
  readonly dtype: string;
  /** The place of its values in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** How many bytes at the beginning of a file `npyArray` reads. */
export const NPY_HEAD = 1 << 20;

const TYPES: Readonly<Record<string, { readonly dtype: string; readonly bytes: number }>> = {
  "<f4": { dtype: "F32", bytes: 4 },
  "<f8": { dtype: "F64", bytes: 8 },
  "<i4": { dtype: "I32", bytes: 4 },
  "|u1": { dtype: "U8", bytes: 1 },
};

/**
 * The array in a file of `fileBytes` bytes, which begins with `head`: f32, f64, i32 or u8 in C order. Throws TrainError
 * for any other file.
 */
export function npyArray(head: Uint8Array, fileBytes: number, file: string): StoredArray {
  const fail = (what: string): never => {
    throw new TrainError("bad-data", `${file} is not an array that modc reads: ${what}`, {
      hint: "write it with numpy.save, as float32",
    });
  };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 12 || !isMagic(head)) return fail("it does not begin as .npy files do");
  const version = head[6]!;
  const start = version === 1 ? 10 : 12;
  const header = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const offset = start + header;
  if (offset > fileBytes) return fail("it is cut off");
  if (offset > head.length) return fail(`its header has ${header} bytes`);
  const text = new TextDecoder("latin1").decode(head.subarray(start, offset));
  const type = /'descr':\s*'([^']*)'/.exec(text)?.[1] ?? "";
  const sizes = /'shape':\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (sizes === undefined || !/'fortran_order':\s*False/.test(text)) return fail("it has no shape in C order");
  const shape = sizes
    .split(",")
    .filter((size) => size.trim() !== "")
    .map(Number);
  const { dtype, bytes } = Object.hasOwn(TYPES, type) ? TYPES[type]! : fail(`its type is ${type}`);
  const array = { shape, dtype, offset, bytes: countOf(shape) * bytes };
  return offset + array.bytes === fileBytes ? array : fail("its size does not fit its shape");
}

const isMagic = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x93 && new TextDecoder("latin1").decode(bytes.subarray(1, 6)) === "NUMPY";
