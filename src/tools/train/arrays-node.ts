// Arrays that rows of data name by their paths, such as features: files of NumPy and of safetensors.
import { createHash } from "node:crypto";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { quotedName } from "../../ground/base/shown.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { converts, fromBytes, readSafetensors, WeightsError } from "../../runtime/index.js";
import { TrainError } from "./errors.js";
import { readNpy, type NumberArray } from "./npy.js";

/** Where a row names a file: for messages, and for the choice among tensors. */
export interface ArrayPlace {
  /** The row's place. */
  readonly place: string;
  /** The column that names the file. */
  readonly column: string;
}

/** A file that was read: its path from the folder of the data, and the SHA-256 of its bytes. */
export type ReadArray = readonly [path: string, sha256: string];

/** The most bytes of a file. */
const MOST_BYTES = 256 * 1024 ** 2;

/** Reads a file's bytes. `file` names it in messages. Throws TrainError and WeightsError. */
type Reader = (bytes: Uint8Array, file: string, column: string) => NumberArray | Promise<NumberArray>;

const READERS: Readonly<Record<string, Reader>> = {
  ".npy": readNpy,
  ".safetensors": readTensor,
};
const ENDINGS = Object.keys(READERS);

/** Reads the arrays that the rows of a data file name, in its folder or below, and keeps account of the files. */
export class ArrayFolder {
  readonly #folder: string;
  readonly #read = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The files that were read. */
  get read(): readonly ReadArray[] {
    return [...this.#read];
  }

  /** The array in a file. Throws TrainError that names the row's place. */
  async at(path: string, { place, column }: ArrayPlace): Promise<NumberArray> {
    const fail = (why: string): never => {
      throw new TrainError("bad-data", `${place}: ${JSON.stringify(path)} ${why}`);
    };
    const reader = READERS[ENDINGS.find((ending) => path.endsWith(ending)) ?? ""];
    if (reader === undefined) return fail(`is neither numbers nor the path of a ${ENDINGS.join(" or ")} file`);
    const whole = resolve(this.#folder, path);
    const inside = relative(this.#folder, whole);
    if (isAbsolute(path) || inside === ".." || inside.startsWith(`..${sep}`))
      return fail("is outside the folder of the data");
    try {
      const bytes = readWhole(whole, fail);
      this.#read.set(inside.replaceAll(sep, "/"), sha256Of(bytes));
      return await reader(bytes, whole, column);
    } catch (cause) {
      if (cause instanceof TrainError && cause.message.startsWith(place)) throw cause;
      if (cause instanceof TrainError || cause instanceof WeightsError)
        throw new TrainError("bad-data", `${place}: ${cause.message}`, { hint: cause.hint, cause });
      return fail(`cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
}

/** The folder of a data file. */
export const arraysBeside = (data: string): ArrayFolder => new ArrayFolder(dirname(data));

/** Whether the files have the bytes that were read. `folder`: the folder of the data. */
export function areSame(folder: string, files: readonly ReadArray[]): boolean {
  const gone = (): never => {
    throw new Error("too large");
  };
  return files.every(([path, sha256]) => {
    try {
      return sha256Of(readWhole(join(folder, path), gone)) === sha256;
    } catch {
      return false; // the error is given when the file is read again
    }
  });
}

const readWhole = (path: string, fail: (why: string) => never): Uint8Array =>
  readRegular(path, MOST_BYTES, (size) => fail(`has ${size} bytes: modc reads arrays of up to ${MOST_BYTES}`));

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The file's only tensor, or the one that is called like the column. */
async function readTensor(bytes: Uint8Array, file: string, column: string): Promise<NumberArray> {
  const source = readSafetensors(bytes, file);
  const { tensors } = source;
  const key = tensors.size === 1 ? [...tensors.keys()][0]! : column;
  const tensor = tensors.get(key);
  if (!tensor)
    throw new TrainError("bad-data", `${file} has ${tensors.size} tensors, and none is called ${quotedName(column)}`, {
      hint: `give files with one tensor, or name it ${column}`,
    });
  const { dtype, shape } = tensor;
  const stored = await source.read(key);
  if (dtype === "F64") return { shape, data: doubles(stored) };
  const types = dtype.startsWith("U") ? (["u32"] as const) : (["f32", "i32", "bool"] as const);
  const to = types.find((type) => converts(dtype, type));
  const data = to === undefined ? `its type is ${dtype}` : fromBytes(stored, dtype, to);
  if (typeof data === "string")
    throw new TrainError("bad-data", `${file}: modc does not read the tensor ${quotedName(key)}: ${data}`, {
      hint: "store it as float32",
    });
  return { shape, data };
}

/** Little-endian numbers of 64 bits, wherever they begin. */
function doubles(bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
}
