// Weights that are parts of a stored tensor (`names` with indices): reads the bytes of a part, and puts parts together.
import { countOf } from "../../ground/base/collections.js";
import { bug } from "../../ground/base/invariant.js";
import { quotedName } from "../../ground/base/shown.js";
import {
  keyText,
  partShape,
  readPart,
  storedShape,
  type PartAxis,
  type StoredPart,
} from "../../ground/base/stored-part.js";
import { WeightsError } from "../device/errors.js";
import { BLOCK, blockBytes, isBlockType } from "../program/encodings/block-file.js";
import { fromBytes } from "./formats/convert.js";
import { FILE_DTYPES, type TensorEntry, type WeightSource } from "./formats/source.js";

/**
 * The entry of a source under a key, which may state a part. A part that divides blocks of numbers is read as F32.
 * `misfit`: the sizes of the tensor, if they are not the part's.
 */
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
  const dtype = dividesBlocks(part, whole.dtype) ? "F32" : whole.dtype;
  return { dtype, shape: partShape(part), misfit: fits ? null : whole.shape };
}

/** The bytes of a tensor. */
export function bytesOf({ dtype, shape }: Pick<TensorEntry, "dtype" | "shape">): number {
  const size = isBlockType(dtype) ? blockBytes(dtype) / BLOCK : (FILE_DTYPES.get(dtype) ?? bug(`${dtype} has no size`));
  return countOf(shape) * size;
}

/** Whether a part of a tensor of this type is not whole blocks of numbers, or is transposed. */
export const dividesBlocks = (part: StoredPart, dtype: string): boolean => unitsOf(part, dtype) === null;

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
  if (!last || isTransposed || last.isDropped) return null;
  // Consecutive indices are one run.
  const { size, start, count, ...own } = last;
  const { step, run } = own.step === own.run ? { step: count, run: count } : own;
  if ([size, start, step, run].some((n) => n % BLOCK !== 0)) return null;
  const inBlocks: PartAxis = {
    size: size / BLOCK,
    start: start / BLOCK,
    step: step / BLOCK,
    run: run / BLOCK,
    count: count / BLOCK,
    isDropped: false,
  };
  return { axes: [...axes.slice(0, -1), inBlocks], bytes: blockBytes(dtype) };
}

/** Bytes of a tensor that are read at once if the part has only some of them. */
const MOST_AT_ONCE = 1 << 24;
/** Bytes between two pieces of a part that are read rather than skipped. */
const MOST_BETWEEN = 1 << 18;

/** A piece of a part: the indices of the levels from `level` on. */
interface Piece {
  readonly level: number;
  /** Bytes before it in the stored tensor, and in the part. */
  readonly from: number;
  readonly to: number;
}

/** Indices that are one step apart, and the bytes from an index to the next in the stored tensor. */
interface Level {
  readonly start: number;
  readonly step: number;
  readonly count: number;
  readonly stride: number;
}

/** The levels of an axis. An axis with runs has two: the runs, and the indices in a run. */
function levelsOf({ start, step, run, count }: PartAxis, stride: number): readonly Level[] {
  if (step === run) return [{ start, step: 1, count, stride }];
  const outer: Level = { start, step, count: count / run, stride };
  return run === 1 ? [outer] : [outer, { start: 0, step: 1, count: run, stride }];
}

/** The levels of a part, with the bytes from an index to the next in the part. */
class Layout {
  readonly levels: readonly Level[];
  readonly places: readonly number[];
  /** By level: the first byte of a piece that the part has, and the bytes up to the last, from the piece's first on. */
  readonly spans: readonly { readonly first: number; readonly length: number }[];

  constructor({ axes, bytes }: Units) {
    const levels = axes.flatMap((axis, i) =>
      levelsOf(axis, bytes * countOf(axes.slice(i + 1).map(({ size }) => size))),
    );
    this.levels = levels;
    this.places = levels.map((_, i) => bytes * countOf(levels.slice(i + 1).map(({ count }) => count)));
    this.spans = [...levels, null].map((_, level) => {
      const within = (index: (level: Level) => number): number =>
        levels.slice(level).reduce((sum, inner) => sum + index(inner) * inner.stride, 0);
      return { first: within(({ start }) => start), length: within(({ step, count }) => step * (count - 1)) + bytes };
    });
  }

  /** Bytes of the part. */
  get bytes(): number {
    return this.levels[0]!.count * this.places[0]!;
  }

  /** The piece of the next level at the index `n` of the part. */
  pieceAt({ level, from, to }: Piece, n: number): Piece {
    const { start, step, stride } = this.levels[level]!;
    return {
      level: level + 1,
      from: from + (start + n * step) * stride,
      to: to + n * this.places[level]!,
    };
  }

  /** The number of pieces of the next level that are read at once: pieces with few bytes between them. */
  atOnce(level: number): number {
    const { length } = this.spans[level + 1]!;
    const apart = this.levels[level]!.step * this.levels[level]!.stride;
    return apart - length > MOST_BETWEEN ? 1 : Math.max(1, Math.floor((MOST_AT_ONCE - length) / apart) + 1);
  }

  /** The first byte of the tensor that the part has at the index `n` of a piece. */
  firstOf(piece: Piece, n: number): number {
    return this.pieceAt(piece, n).from + this.spans[piece.level + 1]!.first;
  }

  /** Whether a piece of the next level lies together in the tensor, as in the part. */
  isDense(level: number): boolean {
    return this.spans[level + 1]!.length === this.places[level];
  }

  /** Calls `move` for all bytes at the indices `begin` to `end` - 1 of the piece; by default at all indices. */
  eachRuns(piece: Piece, move: (runs: Runs) => void, begin = 0, end = this.levels[piece.level]!.count): void {
    const { level, to } = piece;
    if (this.isDense(level)) {
      const bytes = this.places[level]!;
      const apart = this.levels[level]!.step * this.levels[level]!.stride;
      const [from, count] = [this.firstOf(piece, begin), end - begin];
      const at = to + begin * bytes;
      move(
        apart === bytes
          ? { from, to: at, bytes: bytes * count, apart, count: 1 }
          : { from, to: at, bytes, apart, count },
      );
    } else for (let n = begin; n < end; n++) this.eachRuns(this.pieceAt(piece, n), move);
  }
}

/** Runs of bytes: they follow each other in the part, and are `apart` bytes from start to start in the tensor. */
interface Runs {
  /** The first byte in the stored tensor, and in the part. */
  readonly from: number;
  readonly to: number;
  /** Bytes of a run. */
  readonly bytes: number;
  readonly apart: number;
  readonly count: number;
}

/** The most bytes of a run that is copied byte by byte. */
const FEW = 16;

/** Copies runs of bytes that are `apart` and `apartTo` bytes from start to start. */
function copyRuns(
  source: Uint8Array,
  from: number,
  apart: number,
  target: Uint8Array,
  to: number,
  apartTo: number,
  { bytes, count }: Pick<Runs, "bytes" | "count">,
): void {
  for (let n = 0, a = from, b = to; n < count; n++, a += apart, b += apartTo)
    if (bytes <= FEW) for (let i = 0; i < bytes; i++) target[b + i] = source[a + i]!;
    else target.set(source.subarray(a, a + bytes), b);
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
  const isDivided = dividesBlocks(part, whole.dtype);
  const units = unitsOf(part, isDivided ? "F32" : whole.dtype) ?? bug(`${part.key} has no units`);
  const read = isDivided ? await floatsOf(source, part.key, whole.dtype) : await reader(source, part.key, whole.bytes);
  const bytes = await gathered(new Layout(units), read);
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

/** Reads bytes of a tensor that is converted to F32. */
async function floatsOf(source: WeightSource, key: string, dtype: string): Promise<ReadBytes> {
  const words = fromBytes(await source.read(key), dtype, "f32");
  if (typeof words === "string") throw new WeightsError(`${source.name}: tensor ${quotedName(key)}: ${words}`);
  const floats = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return async (start, bytes) => floats.subarray(start, start + bytes);
}

async function gathered(layout: Layout, read: ReadBytes): Promise<Uint8Array> {
  const { first, length } = layout.spans[0]!;
  if (length === layout.bytes) return read(first, length);
  const out = new Uint8Array(layout.bytes);
  const fill = async (piece: Piece): Promise<void> => {
    const { level } = piece;
    const { count } = layout.levels[level]!;
    const inner = layout.spans[level + 1]!.length;
    if (inner > MOST_AT_ONCE && !layout.isDense(level)) {
      for (let n = 0; n < count; n++) await fill(layout.pieceAt(piece, n));
      return;
    }
    const atOnce = layout.atOnce(level);
    for (let begin = 0; begin < count; begin += atOnce) {
      const end = Math.min(begin + atOnce, count);
      const start = layout.firstOf(piece, begin);
      const bytes = await read(start, layout.firstOf(piece, end - 1) + inner - start);
      const copy = (runs: Runs): void => copyRuns(bytes, runs.from - start, runs.apart, out, runs.to, runs.bytes, runs);
      layout.eachRuns(piece, copy, begin, end);
    }
  };
  await fill({ level: 0, from: 0, to: 0 });
  return out;
}

/** Writes a part into the bytes of the stored tensor. */
export function putPart(into: Uint8Array, part: StoredPart, dtype: string, bytes: Uint8Array): void {
  const units = unitsOf(part, dtype) ?? bug(`${part.key} is not divided into blocks`);
  const layout = new Layout(units);
  if (bytes.length !== layout.bytes) bug(`a part of ${part.key} has ${bytes.length} bytes instead of ${layout.bytes}`);
  const rows = part.isTransposed ? transposed(bytes, partShape(part), units.bytes) : bytes;
  layout.eachRuns({ level: 0, from: 0, to: 0 }, (runs) =>
    copyRuns(rows, runs.to, runs.bytes, into, runs.from, runs.apart, runs),
  );
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
