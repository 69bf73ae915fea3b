// Weights that are parts of a stored tensor (`names` with indices): reads the bytes of a part, and puts parts together.
import { countOf } from "../../ground/base/collections.js";
import { bug } from "../../ground/base/invariant.js";
import { quotedName } from "../../ground/base/shown.js";
import {
  endOf,
  indicesText,
  partShape,
  readPart,
  storedShape,
  type PartAxis,
  type StoredPart,
} from "../../ground/base/stored-part.js";
import { WeightsError } from "../device/errors.js";
import { BLOCK, blockBytes, isBlockType } from "../program/encodings/block-file.js";
import { FILE_DTYPES, type TensorEntry, type WeightSource } from "./formats/source.js";

/** A key as `names` states it, for messages: `"h.attn.weight"[:, 0:768]^T`. */
export function keyText(key: string): string {
  const part = readPart(key);
  return part === null ? quotedName(key) : `${quotedName(part.key)}${indicesText(part)}`;
}

/** The key of the stored tensor that has the weight under this key. */
export const storedKey = (key: string): string => readPart(key)?.key ?? key;

/** What a source has under a key, which may state a part. `misfit`: the sizes of the tensor are others. */
export function storedEntry(
  tensors: ReadonlyMap<string, Pick<TensorEntry, "dtype" | "shape">>,
  key: string,
):
  | { readonly dtype: string; readonly shape: readonly number[]; readonly misfit: readonly number[] | null }
  | undefined {
  const own = tensors.get(key);
  if (own) return { dtype: own.dtype, shape: own.shape, misfit: null };
  const part = readPart(key);
  const whole = part && tensors.get(part.key);
  if (!part || !whole) return undefined;
  const sizes = storedShape(part);
  const fits = whole.shape.length === sizes.length && whole.shape.every((n, i) => n === sizes[i]);
  return { dtype: whole.dtype, shape: partShape(part), misfit: fits ? null : whole.shape };
}

/** The bytes of a tensor. */
export function bytesOf({ dtype, shape }: Pick<TensorEntry, "dtype" | "shape">): number {
  const size = isBlockType(dtype) ? blockBytes(dtype) / BLOCK : (FILE_DTYPES.get(dtype) ?? bug(`${dtype} has no size`));
  return countOf(shape) * size;
}

/** Why a part cannot be read from a tensor of this type; null if it can. */
export const whyIndivisible = (part: StoredPart, dtype: string): string | null =>
  isBlockType(dtype) && unitsOf(part, dtype) === null
    ? `is stored in blocks of ${BLOCK} numbers, which the part divides or transposes`
    : null;

/** A part in units: the numbers of a tensor, or its blocks. */
interface Units {
  readonly axes: readonly PartAxis[];
  /** Bytes of a unit. */
  readonly bytes: number;
}

/** Null if the part divides blocks. */
function unitsOf({ axes, isTransposed }: StoredPart, dtype: string): Units | null {
  if (!isBlockType(dtype)) return { axes, bytes: FILE_DTYPES.get(dtype) ?? bug(`${dtype} has no size`) };
  const last = axes.at(-1);
  if (!last || isTransposed || last.isDropped || last.step !== 1) return null;
  if (last.start % BLOCK !== 0 || last.count % BLOCK !== 0 || last.size % BLOCK !== 0) return null;
  const inBlocks = { ...last, size: last.size / BLOCK, start: last.start / BLOCK, count: last.count / BLOCK };
  return { axes: [...axes.slice(0, -1), inBlocks], bytes: blockBytes(dtype) };
}

/** Bytes of a tensor that are read at once if the part has only some of them. */
const MOST_AT_ONCE = 1 << 24;

/** A piece of a part: the indices of the axes from `level` on. */
interface Piece {
  readonly level: number;
  /** Bytes before it in the stored tensor, and in the part. */
  readonly from: number;
  readonly to: number;
}

/** The axes of a part with the bytes from an index to the next, in the stored tensor and in the part. */
class Layout {
  readonly strides: readonly number[];
  readonly places: readonly number[];
  /** By level: the first byte of a piece that the part has, and the bytes up to the last, from the piece's first on. */
  readonly spans: readonly { readonly first: number; readonly length: number }[];

  constructor(readonly units: Units) {
    const { axes, bytes } = units;
    this.strides = axes.map((_, i) => bytes * countOf(axes.slice(i + 1).map(({ size }) => size)));
    this.places = axes.map((_, i) => bytes * countOf(axes.slice(i + 1).map(({ count }) => count)));
    this.spans = [...axes, null].map((_, level) => {
      const within = (index: (axis: PartAxis) => number): number =>
        axes.reduce((sum, axis, i) => (i < level ? sum : sum + index(axis) * this.strides[i]!), 0);
      const first = within(({ start }) => start);
      return { first, length: within((axis) => endOf(axis) - 1) - first + bytes };
    });
  }

  /** Bytes of the part. */
  get bytes(): number {
    return this.units.bytes * countOf(this.units.axes.map(({ count }) => count));
  }

  /** Bytes of a piece in the part. */
  bytesFrom(level: number): number {
    return level === 0 ? this.bytes : this.places[level - 1]!;
  }

  /** The pieces of the next level. */
  *piecesOf({ level, from, to }: Piece): Generator<Piece> {
    const { start, step, count } = this.units.axes[level]!;
    for (let n = 0; n < count; n++)
      yield {
        level: level + 1,
        from: from + (start + n * step) * this.strides[level]!,
        to: to + n * this.places[level]!,
      };
  }

  /** Calls `move` for each run of bytes that lie together in the tensor and in the part. */
  eachRun(piece: Piece, move: (from: number, to: number, bytes: number) => void): void {
    const { level } = piece;
    const { first, length } = this.spans[level]!;
    const { axes, bytes } = this.units;
    if (length === this.bytesFrom(level)) move(piece.from + first, piece.to, length);
    else if (level === axes.length - 1) {
      const { step, count } = axes[level]!;
      for (let n = 0; n < count; n++) move(piece.from + first + n * step * bytes, piece.to + n * bytes, bytes);
    } else for (const inner of this.piecesOf(piece)) this.eachRun(inner, move);
  }
}

/** The bytes of what a source has under a key, which may state a part of a tensor. Throws WeightsError. */
export async function readStored(source: WeightSource, key: string): Promise<Uint8Array> {
  if (source.tensors.has(key)) return source.read(key);
  const part = readPart(key);
  const whole = part && source.tensors.get(part.key);
  if (!part || !whole) throw new WeightsError(`${source.name} has no tensor ${keyText(key)}`);
  const { misfit } = storedEntry(source.tensors, key)!;
  if (misfit !== null)
    throw new WeightsError(`${source.name}: ${keyText(key)} is of a tensor of shape [${storedShape(part).join(", ")}], \
the file's is [${misfit.join(", ")}]`);
  const units = unitsOf(part, whole.dtype);
  if (units === null)
    throw new WeightsError(`${source.name}: ${quotedName(part.key)} ${whyIndivisible(part, whole.dtype)}`);
  const layout = new Layout(units);
  const bytes = await gathered(layout, await reader(source, part.key, whole.bytes));
  return part.isTransposed ? transposed(bytes, partShape(part).toReversed(), units.bytes) : bytes;
}

type ReadBytes = (start: number, bytes: number) => Promise<Uint8Array>;

/** Reads some bytes of a tensor, or the whole tensor once if its source can read no less. */
async function reader(source: WeightSource, key: string, size: number): Promise<ReadBytes> {
  if (source.readBytes) return (start, bytes) => source.readBytes!(key, start, bytes);
  const whole = await source.read(key);
  if (whole.length !== size) bug(`${key} has ${whole.length} bytes instead of ${size}`);
  return async (start, bytes) => whole.subarray(start, start + bytes);
}

async function gathered(layout: Layout, read: ReadBytes): Promise<Uint8Array> {
  const whole = { level: 0, from: 0, to: 0 };
  const { first, length } = layout.spans[0]!;
  if (length === layout.bytes) return read(first, length);
  const out = new Uint8Array(layout.bytes);
  const fill = async (piece: Piece): Promise<void> => {
    const span = layout.spans[piece.level]!;
    const isDense = span.length === layout.bytesFrom(piece.level);
    if (!isDense && span.length > MOST_AT_ONCE) {
      for (const inner of layout.piecesOf(piece)) await fill(inner);
      return;
    }
    const start = piece.from + span.first;
    const bytes = await read(start, span.length);
    layout.eachRun(piece, (from, to, count) => out.set(bytes.subarray(from - start, from - start + count), to));
  };
  await fill(whole);
  return out;
}

/** Writes a part into the bytes of the stored tensor. */
export function putPart(into: Uint8Array, part: StoredPart, dtype: string, bytes: Uint8Array): void {
  const units = unitsOf(part, dtype) ?? bug(`${part.key} is not divided into blocks`);
  const layout = new Layout(units);
  if (bytes.length !== layout.bytes) bug(`a part of ${part.key} has ${bytes.length} bytes instead of ${layout.bytes}`);
  const rows = part.isTransposed ? transposed(bytes, partShape(part), units.bytes) : bytes;
  layout.eachRun({ level: 0, from: 0, to: 0 }, (from, to, count) => into.set(rows.subarray(to, to + count), from));
}

/** The transpose of a matrix whose numbers have `size` bytes. */
function transposed(bytes: Uint8Array, [rows, columns]: readonly number[], size: number): Uint8Array {
  if (rows === undefined || columns === undefined) return bug("a transpose has two axes");
  const out = new Uint8Array(bytes.length);
  const move = <T extends Uint8Array | Uint16Array | Uint32Array | BigUint64Array>(from: T, to: T): void => {
    for (let r = 0; r < rows; r++)
      for (let c = 0, at = r * columns; c < columns; c++, at++) to[c * rows + r] = from[at]!;
  };
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const as = <T>(type: new (buffer: ArrayBufferLike, offset: number, length: number) => T, x: Uint8Array): T =>
    new type(x.buffer, x.byteOffset, x.length / size);
  switch (size) {
    case 1:
      move(aligned, out);
      return out;
    case 2:
      move(as(Uint16Array, aligned), as(Uint16Array, out));
      return out;
    case 4:
      move(as(Uint32Array, aligned), as(Uint32Array, out));
      return out;
    case 8:
      move(as(BigUint64Array, aligned), as(BigUint64Array, out));
      return out;
    default:
      return bug(`a number of ${size} bytes is not transposed`);
  }
}
