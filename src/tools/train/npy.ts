// Reads NumPy's `.npy` files: an array with its shape (NEP 1, "A Simple File Format for NumPy Arrays").
import { TrainError } from "./errors.js";

/** The values of an array, row-major. */
export interface NumberArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

const READERS: Readonly<Record<string, { readonly bytes: number; read(view: DataView, at: number): number }>> = {
  "<f4": { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  "<f8": { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  "<i4": { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  "|u1": { bytes: 1, read: (view, at) => view.getUint8(at) },
};

/** Reads an array of f32, f64, i32 or u8 in C order. Throws TrainError for any other file. */
export function readNpy(bytes: Uint8Array, file: string): NumberArray {
  const fail = (what: string): never => {
    throw new TrainError("bad-data", `${file} is not an array that modc reads: ${what}`, {
      hint: "write it with numpy.save, as float32",
    });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || !isMagic(bytes)) return fail("it does not begin as .npy files do");
  const version = bytes[6]!;
  const start = version === 1 ? 10 : 12;
  const header = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + header > bytes.length) return fail("it is cut off");
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, start + header));
  const type = /'descr':\s*'([^']*)'/.exec(text)?.[1] ?? "";
  const sizes = /'shape':\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (sizes === undefined || !/'fortran_order':\s*False/.test(text)) return fail("it has no shape in C order");
  const shape = sizes
    .split(",")
    .filter((size) => size.trim() !== "")
    .map(Number);
  const reader = Object.hasOwn(READERS, type) ? READERS[type]! : fail(`its type is ${type}`);
  const count = shape.reduce((a, b) => a * b, 1);
  if (start + header + count * reader.bytes !== bytes.length) return fail("its size does not fit its shape");
  return {
    shape,
    data: Float64Array.from({ length: count }, (_, i) => reader.read(view, start + header + i * reader.bytes)),
  };
}

const isMagic = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x93 && new TextDecoder("latin1").decode(bytes.subarray(1, 6)) === "NUMPY";
