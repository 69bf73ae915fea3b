// Weights on disk: reads safetensors files tensor by tensor, with or without an index of shards, and GGUF files; writes
// safetensors atomically. Node only.
import { isFloat, type Words } from "../../ground/base/dtype.js";
import { realpath, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isBlockType, type BlockType } from "../program/encodings/block-file.js";
import type { Program, ProgramWeight } from "../program/program.js";
import { quotedName, escapedName } from "../../ground/base/shown.js";
import { WeightsError } from "../device/errors.js";
import { writePieces } from "../../ground/files/place-node.js";
import { openGguf } from "./gguf/file-node.js";
import { hasGgufName } from "./gguf/magic.js";
import { isInside } from "../../ground/files/inside-node.js";
import { openRegular } from "../../ground/files/regular-node.js";
import { BASE, openOverBase, INDEX, readIndex, SINGLE } from "./base-node.js";
import { expectHeld } from "./held.js";
import { reaching, readExactly } from "./formats/reading-node.js";
import { readPart } from "../../ground/base/stored-part.js";
import { dividesBlocks } from "./parts.js";
import { fileDtype, toBytes } from "./to-bytes.js";
import { wholeTensors, type SavedTensor } from "./whole.js";
import {
  headerBytes,
  ofBytes,
  parseHeader,
  quantizedMetadata,
  writeHeader,
  type FileTensor,
  type TensorToWrite,
} from "./formats/safetensors.js";
import { readRange, type TensorEntry, type WeightSource } from "./formats/source.js";

/**
 * Opens a safetensors file, an index of shards (`….index.json`), a folder that holds either under its usual name, or a
 * GGUF file (`….gguf`), by path or `file:` address. Throws WeightsError.
 */
export async function openWeights(place: string): Promise<WeightSource> {
  const path = /^file:/i.test(place) ? pathOfAddress(place) : place;
  return reaching("open", path, async () => {
    if ((await stat(path)).isDirectory()) {
      if (await exists(join(path, BASE))) return openOverBase(path, openWeights);
      for (const name of [INDEX, SINGLE]) if (await exists(join(path, name))) return openWeights(join(path, name));
      throw new WeightsError(`${path} holds neither ${SINGLE} nor ${INDEX}`);
    }
    return path.endsWith(".json") ? openShards(path) : openFile(path, basename(path));
  });
}

/** The path of a `file:` address. Some name no local file: those of another computer, or with an encoded slash. */
function pathOfAddress(address: string): string {
  try {
    return fileURLToPath(address);
  } catch (cause) {
    throw new WeightsError(
      `cannot open ${escapedName(address)}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

async function openFile(path: string, name: string): Promise<WeightSource> {
  if (hasGgufName(path)) return openGgufWeights(path, name);
  const handle = await openRegular(path);
  try {
    const bytes = (await handle.stat()).size;
    const size = headerBytes(await readExactly(handle, 0, Math.min(8, bytes), name), bytes, name);
    const { tensors } = parseHeader(await readExactly(handle, 8, size, name), bytes, name);
    return {
      name,
      tensors,
      read: (key) => readTensor(handle, tensors, key, name),
      readBytes: (key, start, count) => readTensor(handle, tensors, key, name, { start, count }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openGgufWeights(path: string, name: string): Promise<WeightSource> {
  const file = await openGguf(path, name);
  try {
    return { ...file.weights(name), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readTensor(
  handle: FileHandle,
  tensors: ReadonlyMap<string, FileTensor>,
  key: string,
  name: string,
  part: { readonly start: number; readonly count: number } | null = null,
): Promise<Uint8Array> {
  const t = tensors.get(key);
  if (!t) throw new WeightsError(`${name} has no tensor ${quotedName(key)}`);
  const { start, count } = part ?? { start: 0, count: t.bytes };
  return reaching("open", name, () => readExactly(handle, t.offset + start, count, name));
}

/** Opens an index of shards in Hugging Face's format, which maps each key to the file that holds it. */
async function openShards(path: string): Promise<WeightSource> {
  const name = basename(path);
  const fileOf = await readIndex(path, name);
  const folder = await realpath(dirname(path));
  const shards = new Map<string, WeightSource>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const file of new Set(fileOf.values()))
      shards.set(file, await openFile(await shardPath(folder, file, name), escapedName(file)));
    const tensors = joinShards(fileOf, shards, name);
    const shardOf = (key: string): WeightSource => shards.get(fileOf.get(key) ?? "") ?? absent(name, key);
    return {
      name,
      tensors,
      close,
      read: async (key) => shardOf(key).read(key),
      readBytes: async (key, start, count) => readRange(shardOf(key), key, start, count),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The real path of a shard. After following links it must be in the folder of the index. */
async function shardPath(folder: string, file: string, index: string): Promise<string> {
  const outside = (): WeightsError =>
    new WeightsError(`${index}: shard ${quotedName(file)} is outside the folder of the index`);
  if (file === "" || file.includes("\0") || isAbsolute(file) || file.split(/[/\\]/).includes("..")) throw outside();
  const real = await reaching("open", join(dirname(index), file), () => realpath(join(folder, file)));
  if (!isInside(real, folder)) throw outside();
  return real;
}

function joinShards(
  places: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, WeightSource>,
  name: string,
): ReadonlyMap<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  for (const [key, file] of places) {
    const entry = shards.get(file)?.tensors.get(key);
    if (!entry)
      throw new WeightsError(`${name} lists ${quotedName(key)} in ${escapedName(file)}, which does not have it`);
    tensors.set(key, entry);
  }
  for (const [file, shard] of shards)
    for (const key of shard.tensors.keys())
      if (places.get(key) !== file)
        throw new WeightsError(`${escapedName(file)} holds ${quotedName(key)}, which ${name} does not list there`);
  return tensors;
}

const absent = (name: string, key: string): never => {
  throw new WeightsError(`${name} has no tensor ${quotedName(key)}`);
};

export type { SavedTensor } from "./whole.js";

export interface SaveOptions {
  /**
   * `mapped` (default): the key the model's `names` give, the first where there are several. `paths`: the weights' own
   * paths, also by default if a weight in blocks is a part of a tensor that blocks cannot hold.
   */
  readonly keys?: "mapped" | "paths";
  /** Type in which floats are stored; by default each weight's own. */
  readonly floats?: "F32" | "F16" | "BF16";
  /** Paths of those that keep their own type whatever `floats` says. */
  readonly kept?: ReadonlySet<string>;
  /** Weights that are stored in blocks along their last axis, which must be whole blocks. */
  readonly quantized?: { readonly type: BlockType; readonly paths: ReadonlySet<string> };
}

/** Number of values converted in one piece. */
const PIECE = 1 << 20;

/** Writes all weights of a program to a safetensors file, atomically. */
export async function saveWeights(
  path: string,
  program: Pick<Program, "weights">,
  values: (weight: ProgramWeight) => Words | Promise<Words>,
  options: SaveOptions = {},
): Promise<void> {
  const { quantized, floats, kept } = options;
  const byPath = options.keys === "paths" || (quantized !== undefined && isDivided(program, quantized));
  const entries = program.weights.map((weight): SavedTensor => {
    const { path, shape } = weight;
    const key = byPath ? path : (weight.keys[0] ?? path);
    const stored = floats !== undefined && isFloat(weight.dtype) && !kept?.has(path) ? floats : fileDtype(weight.dtype);
    const dtype = quantized?.paths.has(path) ? quantized.type : stored;
    const held = async (): Promise<Words> => {
      const words = await values(weight);
      expectHeld(weight, words, dtype);
      return words;
    };
    return {
      key,
      dtype,
      shape,
      read: async () => toBytes(await held(), dtype),
      pieces: async (write) => {
        const words = await held();
        // An interrupt is handled between two pieces.
        for (let first = 0; first < words.length; first += PIECE)
          await write(toBytes(words.subarray(first, first + PIECE), dtype));
      },
    };
  });
  await saveTensors(path, entries);
}

/** Whether a stored tensor would have to divide blocks, or to hold weights in blocks beside others. */
function isDivided(
  { weights }: Pick<Program, "weights">,
  { type, paths }: NonNullable<SaveOptions["quantized"]>,
): boolean {
  const parts = weights.flatMap(({ path, keys: [key = path] }) => {
    const part = readPart(key);
    return part ? [{ part, inBlocks: paths.has(path) }] : [];
  });
  const inBlocks = new Set(parts.flatMap(({ part, inBlocks: is }) => (is ? [part.key] : [])));
  return parts.some(({ part, inBlocks: is }) => inBlocks.has(part.key) && (!is || dividesBlocks(part, type)));
}

/** Writes a header and then each tensor, atomically. `blocks`: the types of tensors in blocks, by key. */
async function writeFile<T extends TensorToWrite>(
  path: string,
  tensors: readonly T[],
  blocks: ReadonlyMap<string, BlockType>,
  writeTensor: (tensor: T, write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const header = writeHeader(tensors, new Map([["format", "pt"], ...quantizedMetadata(blocks)]));
  await reaching("write", path, () =>
    writePieces(path, async (write) => {
      await write(header);
      for (const tensor of tensors) await writeTensor(tensor, write);
    }),
  );
}

/** Writes tensors to a safetensors file, atomically, one at a time. Parts of a tensor are put together. */
export async function saveTensors(path: string, tensors: readonly SavedTensor[]): Promise<void> {
  const blocks = new Map<string, BlockType>();
  const entries = wholeTensors(tensors).map((tensor) => {
    const { key, dtype, shape } = tensor;
    if (!isBlockType(dtype)) return { key, dtype, shape, tensor };
    blocks.set(key, dtype);
    return { key, dtype: "U8", shape: ofBytes(shape, dtype), tensor };
  });
  await writeFile(path, entries, blocks, async ({ tensor }, write) =>
    tensor.pieces ? tensor.pieces(write) : write(await tensor.read()),
  );
}

const exists = async (path: string): Promise<boolean> => {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
};
