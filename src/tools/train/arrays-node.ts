// Arrays that rows of data name by their paths, such as features: files of NumPy and of safetensors.
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { quotedName } from "../../ground/base/shown.js";
import { openRegular } from "../../ground/files/regular-node.js";
import { converts, WeightsError } from "../../runtime/index.js";
import { readExactly } from "../../runtime/weights/formats/reading-node.js";
import { headerBytes, parseHeader } from "../../runtime/weights/formats/safetensors.js";
import { readingInTurns } from "../../runtime/weights/in-turns.js";
import { Turns } from "./corpus-node.js";
import { TrainError } from "./errors.js";
import { NPY_HEAD, npyArray, type StoredArray } from "./npy.js";
import type { ArrayPlace } from "./record-numbers.js";

/** A file that was read: its path from the folder of the data, and the SHA-256 of its bytes. */
export type ReadArray = readonly [path: string, sha256: string];

/** The most bytes of a file. */
const MOST_BYTES = 256 * 1024 ** 2;

/** An open file. */
interface OpenFile {
  readonly handle: FileHandle;
  /** For messages. */
  readonly name: string;
  readonly bytes: number;
}

/** Finds the array of a column in a file, without reading its values. Throws TrainError and WeightsError. */
type Format = (file: OpenFile, column: string) => Promise<StoredArray>;

const FORMATS: Readonly<Record<string, Format>> = {
  ".npy": async ({ handle, name, bytes }) =>
    npyArray(await readExactly(handle, 0, Math.min(NPY_HEAD, bytes), name), bytes, name),
  ".safetensors": tensorIn,
};
const ENDINGS = Object.keys(FORMATS);

/**
 * Reads the arrays that the rows of a data file name, in its folder or below, and keeps account of the files. Reads and
 * converts in pieces, and throws the signal's reason between two pieces.
 */
export class ArrayFolder {
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  readonly #read = new Map<string, string>();

  constructor(folder: string, signal?: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
  }

  /** The files that were read. */
  get read(): readonly ReadArray[] {
    return [...this.#read];
  }

  /** The values of the array in a file, row-major. Throws TrainError that names the row's place. */
  async at(path: string, { place, column, expectShape }: ArrayPlace): Promise<ArrayLike<number>> {
    const fail = (why: string): never => {
      throw new TrainError("bad-data", `${place}: ${JSON.stringify(path)} ${why}`);
    };
    const format = FORMATS[ENDINGS.find((ending) => path.endsWith(ending)) ?? ""];
    if (format === undefined) return fail(`is neither numbers nor the path of a ${ENDINGS.join(" or ")} file`);
    const whole = resolve(this.#folder, path);
    const inside = relative(this.#folder, whole);
    if (isAbsolute(path) || inside === ".." || inside.startsWith(`..${sep}`))
      return fail("is outside the folder of the data");
    try {
      return await withArray(whole, async (file) => {
        if (file.bytes > MOST_BYTES) fail(`has ${file.bytes} bytes: modc reads arrays of up to ${MOST_BYTES}`);
        const stored = await format(file, column);
        expectShape(stored.shape);
        const { bytes, sha256 } = await hashed(file, this.#signal);
        this.#read.set(inside.replaceAll(sep, "/"), sha256);
        return valuesOf(bytes.subarray(stored.offset, stored.offset + stored.bytes), stored, whole, this.#signal);
      });
    } catch (cause) {
      this.#signal?.throwIfAborted();
      if (cause instanceof TrainError && cause.message.startsWith(place)) throw cause;
      if (cause instanceof TrainError || cause instanceof WeightsError)
        throw new TrainError("bad-data", `${place}: ${cause.message}`, { hint: cause.hint, cause });
      return fail(`cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
}

/** The folder of a data file. */
export const arraysBeside = (data: string, signal?: AbortSignal): ArrayFolder => new ArrayFolder(dirname(data), signal);

/**
 * Whether the files have the bytes that were read. `folder`: the folder of the data. Throws the signal's reason between
 * two pieces.
 */
export async function areSame(folder: string, files: readonly ReadArray[], signal?: AbortSignal): Promise<boolean> {
  for (const [path, sha256] of files) {
    try {
      const isSame = await withArray(
        join(folder, path),
        async (file) => file.bytes <= MOST_BYTES && (await hashed(file, signal)).sha256 === sha256,
      );
      if (!isSame) return false;
    } catch {
      signal?.throwIfAborted();
      return false; // the error is given when the file is read again
    }
  }
  return true;
}

async function withArray<T>(path: string, body: (file: OpenFile) => Promise<T>): Promise<T> {
  const handle = await openRegular(path);
  try {
    return await body({ handle, name: path, bytes: (await handle.stat()).size });
  } finally {
    await handle.close();
  }
}

const PIECE_BYTES = 1 << 20;

/** The bytes of a file and their SHA-256. */
async function hashed(
  { handle, name, bytes: size }: OpenFile,
  signal: AbortSignal | undefined,
): Promise<{ readonly bytes: Uint8Array; readonly sha256: string }> {
  const bytes = new Uint8Array(size);
  const hash = createHash("sha256");
  for (let at = 0; at < size; at += PIECE_BYTES) {
    signal?.throwIfAborted();
    const piece = await readExactly(handle, at, Math.min(PIECE_BYTES, size - at), name);
    hash.update(piece);
    bytes.set(piece, at);
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** The file's only tensor, or the one that is called like the column. */
async function tensorIn({ handle, name, bytes }: OpenFile, column: string): Promise<StoredArray> {
  const size = headerBytes(await readExactly(handle, 0, Math.min(8, bytes), name), bytes, name);
  const { tensors } = parseHeader(await readExactly(handle, 8, size, name), bytes, name);
  const key = tensors.size === 1 ? [...tensors.keys()][0]! : column;
  const tensor = tensors.get(key);
  if (!tensor)
    throw new TrainError("bad-data", `${name} has ${tensors.size} tensors, and none is called ${quotedName(column)}`, {
      hint: `give files with one tensor, or name it ${column}`,
    });
  if (tensor.dtype !== "F64" && typeFor(tensor.dtype) === undefined)
    throw unlike(name, `the tensor ${quotedName(key)}: its type is ${tensor.dtype}`);
  return tensor;
}

const unlike = (file: string, what: string): TrainError =>
  new TrainError("bad-data", `${file}: modc does not read ${what}`, { hint: "store it as float32" });

/** The type of words that hold a file's values. */
const typeFor = (dtype: string): "u32" | "f32" | "i32" | "bool" | undefined =>
  (dtype.startsWith("U") ? (["u32"] as const) : (["f32", "i32", "bool"] as const)).find((to) => converts(dtype, to));

/** The values of an array, from its little-endian bytes. */
async function valuesOf(
  bytes: Uint8Array,
  { dtype, shape }: StoredArray,
  file: string,
  signal: AbortSignal | undefined,
): Promise<ArrayLike<number>> {
  // little-endian, as every platform with WebGPU
  if (dtype === "F64") return new Float64Array(bytes.slice().buffer);
  const turns = new Turns(signal);
  const to = typeFor(dtype)!; // the format has such types only
  const words = await readingInTurns(() => turns.take()).words(bytes, dtype, { dtype: to, shape });
  if (typeof words === "string") throw unlike(file, `it: ${words}`);
  return words;
}
