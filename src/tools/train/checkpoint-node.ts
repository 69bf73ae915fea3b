// Checkpoints on disk: a folder of files, complete or absent. The manifest is written last, with the size and hash of
// every other file.
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { bug } from "../../ground/base/invariant.js";
import { createHash, randomBytes } from "node:crypto";
import { lstat, open, readFile, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Program, ProgramWeight } from "../../runtime/program/program.js";
import {
  fileDtype,
  fromBytes,
  matchWeights,
  readWeight,
  toBytes,
  type TensorToWrite,
  type WeightSource,
  type Words,
} from "../../runtime/index.js";
import { BASE, printBase, readBase, type BaseRecord } from "../../runtime/weights/base-node.js";
import { leftover, openWeights } from "../../runtime/node.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { writeHeader } from "../../runtime/weights/formats/safetensors.js";
import { wholeTensors, type SavedTensor } from "../../runtime/weights/whole.js";
import { disk, syncFolder, writeSynced, writing, type Disk } from "./disk-node.js";
import { SessionError } from "../../language/diagnostics/errors.js";
import { TrainError } from "./errors.js";
import {
  MANIFEST,
  MODEL,
  MAX_MANIFEST_BYTES,
  parseManifest,
  printManifest,
  STATE,
  TUNINGS,
  type Manifest,
  type ManifestFile,
} from "../../models/runs/manifest.js";
import type { StateTensor, TrainingState } from "./types.js";

/** The contents of a checkpoint. */
export interface CheckpointContents extends Omit<Manifest, "files" | "sources" | "unused"> {
  readonly sources: Sources;
  /** Every weight the model declares. */
  readonly weights: readonly ProgramWeight[];
  /** The location of the weights that the checkpoint omits; null: the checkpoint holds all weights. */
  readonly base: BaseRecord | null;
  /** The trainer's state: weights by their paths, and everything else that a step reads and changes. */
  readonly state: TrainingState;
  /** The tunings of the programs, as a tunings file's text; null: unknown. */
  readonly tunings: string | null;
  /** Values of a weight that the trainer does not hold because training does not read it. */
  readonly unusedValues: (weight: ProgramWeight) => Words | Promise<Words>;
}

/** A checkpoint that was read and verified. */
export interface Checkpoint {
  readonly manifest: Manifest;
  /** The trainer's state. */
  readonly state: TrainingState;
  /** Weights that the trainer does not hold. */
  readonly unused: ReadonlyMap<string, Words>;
  /** The location of the weights that the checkpoint omits; null: it holds all weights. */
  readonly base: BaseRecord | null;
  readonly sources: Sources;
  /** The text of the tunings file; null: there is none. */
  readonly tunings: string | null;
}

/** The model's source file, then the files it imports. */
export type Sources = readonly { readonly path: string; readonly text: string }[];

/** Name prefixes of folders that are not checkpoints: folders being written, being replaced, being removed. */
export const UNFINISHED = ".new-";
export const REPLACED = ".old-";
export const DISCARDED = ".gone-";

/** Whether the folder holds every file that its manifest lists, with the listed size. */
export async function isComplete(path: string): Promise<boolean> {
  try {
    const { files } = await readManifest(path);
    for (const file of files) await (await openFile(path, file.name, file.bytes)).close();
    return true;
  } catch (fault) {
    if (fault instanceof TrainError || (fault as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw fault;
  }
}

/**
 * Writes a checkpoint to the folder `path` atomically, even if power fails: writes and syncs a temporary folder, then
 * renames it. Replaces an existing checkpoint. Throws TrainError if the disk refuses; then nothing has changed.
 */
export async function writeCheckpoint(path: string, contents: CheckpointContents, on: Disk = disk): Promise<void> {
  const folder = dirname(path);
  const unique = randomBytes(6).toString("hex");
  const fresh = join(folder, `${UNFINISHED}${basename(path)}-${unique}`);
  const gone = leftover(fresh);
  await writing(path, async () => {
    try {
      await on.mkdir(fresh);
      await fill(fresh, contents, on);
      await syncFolder(fresh, on);
      await replace(fresh, path, join(folder, `${REPLACED}${basename(path)}-${unique}`), on);
    } catch (error) {
      // Best effort: a leftover folder is removed when the run resumes.
      await on.remove(fresh).catch(() => undefined);
      throw error;
    }
    await syncFolder(folder, on);
  }).finally(gone);
}

/** Bytes that are hashed and written in one piece. */
const PART = 1 << 23;

async function fill(folder: string, contents: CheckpointContents, on: Disk): Promise<void> {
  const { sources, weights, base, state, unusedValues, tunings, ...said } = contents;
  const files: ManifestFile[] = [];
  const write = async (name: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> => {
    const hash = createHash("sha256");
    let bytes = 0;
    async function* hashed(): AsyncIterable<Uint8Array> {
      for await (const block of pieces) {
        // In parts, with an await after each, so that an interrupt is handled while a large tensor is written.
        for (let at = 0; at < block.length; at += PART) {
          const piece = block.subarray(at, at + PART);
          hash.update(piece);
          bytes += piece.length;
          yield piece;
        }
      }
    }
    await writeSynced(join(folder, name), hashed(), on);
    files.push({ name, bytes, sha256: hash.digest("hex") });
  };
  const written: { path: string; file: string }[] = [];
  for (const [i, { path, text }] of sources.entries()) {
    const file = `source-${i}.mod`;
    await write(file, [new TextEncoder().encode(text)]);
    written.push({ path, file });
  }
  if (tunings !== null) await write(TUNINGS, [new TextEncoder().encode(tunings)]);
  const valueOf = (weight: ProgramWeight): Words | Promise<Words> =>
    state.get(weight.path)?.data ?? unusedValues(weight);
  const trained = base === null ? weights : weights.filter(({ path }) => Object.hasOwn(base.keys, path));
  const entries = trained.map((weight): SavedTensor => ({
    key: base?.keys[weight.path] ?? weight.keys[0] ?? weight.path,
    dtype: stored(weight),
    shape: weight.shape,
    read: async () => toBytes(await valueOf(weight), stored(weight)),
  }));
  if (base !== null) await write(BASE, [new TextEncoder().encode(printBase(base))]);
  await write(
    MODEL,
    // Over a base, a part of a tensor stands alone: the base has the rest.
    tensors(base === null ? wholeTensors(entries) : entries, (entry) => entry.read()),
  );
  const paths = new Set(weights.map((weight) => weight.path));
  const others = [...state]
    .filter(([name]) => !paths.has(name))
    .map(([key, t]) => ({ key, dtype: t.dtype === "f32" ? "F32" : "U32", shape: t.shape, data: t.data }));
  await write(
    STATE,
    tensors(others, async ({ data, dtype }) => toBytes(data, dtype)),
  );
  const manifest = {
    ...said,
    sources: written,
    unused: weights.flatMap(({ path }) => (state.has(path) ? [] : [path])),
    files,
  };
  await writeSynced(join(folder, MANIFEST), [new TextEncoder().encode(printManifest(manifest))], on);
}

/** Floats are stored in f32 whatever type the model computes in, so that a resumed run continues exactly. */
const stored = ({ dtype }: ProgramWeight): string => (dtype === "f16" ? "F32" : fileDtype(dtype));

async function* tensors<T extends TensorToWrite>(
  entries: readonly T[],
  bytes: (entry: T) => Promise<Uint8Array>,
): AsyncIterable<Uint8Array> {
  yield writeHeader(entries, new Map([["format", "pt"]]));
  for (const entry of entries) yield bytes(entry);
}

/** Renames the new folder to `path`. An old folder is moved aside first, and restored if that fails. */
async function replace(fresh: string, path: string, aside: string, on: Disk): Promise<void> {
  let moved = false;
  try {
    await on.rename(path, aside);
    moved = true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  try {
    await on.rename(fresh, path);
  } catch (error) {
    if (moved) await on.rename(aside, path);
    throw error;
  }
  if (moved) await on.remove(aside);
}

/** Reads a checkpoint's manifest. Throws TrainError if there is none. */
export async function readManifest(path: string): Promise<Manifest> {
  return reading(path, async () => {
    const stats = await lstat(path);
    if (!stats.isDirectory()) throw new TrainError("bad-checkpoint", `${path} is not a checkpoint: it is not a folder`);
    const file = await openFile(path, MANIFEST, null);
    try {
      const { size } = await file.stat();
      if (size > MAX_MANIFEST_BYTES)
        throw new TrainError("bad-checkpoint", `${path}: ${MANIFEST} has ${size} bytes: too many for a manifest`);
      return parseManifest(await file.readFile("utf8"), path);
    } finally {
      await file.close();
    }
  });
}

/**
 * Reads and verifies a checkpoint: file sizes before anything is allocated, hashes, and its tensors against the model's
 * weights. Throws TrainError if the checkpoint is damaged or belongs to another model.
 */
export async function readCheckpoint(path: string, model: Pick<Program, "weights" | "ignore">): Promise<Checkpoint> {
  const manifest = await readManifest(path);
  return reading(path, async () => {
    for (const file of manifest.files) await checkFile(path, file);
    const over = manifest.files.some((file) => file.name === BASE);
    const unusedPaths = new Set(manifest.unused);
    const state = new Map<string, StateTensor>();
    const unused = new Map<string, Words>();
    await withTensors(over ? path : join(path, MODEL), async (source) => {
      // Floats are read as stored, without rounding to the weight's type.
      const weights = model.weights.map((weight) =>
        weight.dtype === "f16" ? { ...weight, dtype: "f32" as const } : weight,
      );
      const matched = matchWeights({ ...model, weights }, source);
      for (const weight of weights) {
        const data = await readWeight(weight, matched.get(weight)!, source);
        if (unusedPaths.has(weight.path)) unused.set(weight.path, data);
        else
          state.set(weight.path, {
            dtype: data instanceof Float32Array ? "f32" : "u32",
            shape: weight.shape,
            data: data instanceof Int32Array ? new Uint32Array(data.buffer) : data,
          });
      }
    });
    await withTensors(join(path, STATE), async (source) => {
      for (const [name, { dtype, shape }] of source.tensors) {
        if (dtype !== "F32" && dtype !== "U32")
          throw new TrainError("bad-checkpoint", `${path}: ${STATE}: ${JSON.stringify(name)} is ${dtype}`);
        const data = fromBytes(await source.read(name), dtype, dtype === "F32" ? "f32" : "u32");
        if (typeof data === "string" || data instanceof Int32Array) bug(`${name} is ${dtype} and was not read as such`);
        state.set(name, { dtype: dtype === "F32" ? "f32" : "u32", shape, data });
      }
    });
    const tunings = manifest.files.some((file) => file.name === TUNINGS)
      ? await readFile(join(path, TUNINGS), "utf8")
      : null;
    const base = over ? readBase(path) : null;
    return { manifest, state, unused, base, sources: await textsOf(path, manifest), tunings };
  });
}

/** The values of weights in a checkpoint. */
export function valuesIn({ state, unused }: Checkpoint): (weight: ProgramWeight) => Words {
  return ({ path, dtype }) => {
    const data = unused.get(path) ?? state.get(path)?.data ?? bug(`the checkpoint lacks ${path}`);
    return dtype === "i32" ? new Int32Array(data.buffer, data.byteOffset, data.length) : data;
  };
}

/** Reads the sources stored in a checkpoint and verifies them. Throws TrainError. */
export async function readSources(path: string, manifest: Manifest): Promise<Sources> {
  return reading(path, async () => {
    const names = new Set(manifest.sources.map((s) => s.file));
    for (const file of manifest.files) if (names.has(file.name)) await checkFile(path, file);
    return textsOf(path, manifest);
  });
}

async function textsOf(path: string, manifest: Manifest): Promise<Sources> {
  const sources = [];
  for (const { path: name, file } of manifest.sources)
    sources.push({ path: name, text: await readFile(join(path, file), "utf8") });
  return sources;
}

/** Opens a regular file of the folder, not a link. `bytes`: the expected size; null: any. */
async function openFile(folder: string, name: string, bytes: number | null): Promise<FileHandle> {
  const path = join(folder, name);
  const stats = await lstat(path);
  if (!stats.isFile()) throw new TrainError("bad-checkpoint", `${folder}: ${name} is not a plain file`);
  if (bytes !== null && stats.size < bytes)
    throw new TrainError("bad-checkpoint", `${folder}: ${name} is truncated: it has ${stats.size} of ${bytes} bytes`);
  if (bytes !== null && stats.size > bytes)
    throw new TrainError("bad-checkpoint", `${folder}: ${name} has ${stats.size} bytes, but ${bytes} were written`);
  return open(path, "r");
}

async function checkFile(folder: string, { name, bytes, sha256 }: ManifestFile): Promise<void> {
  const handle = await openFile(folder, name, bytes);
  const hash = createHash("sha256");
  // a stream without an encoding yields buffers; it closes the handle
  for await (const chunk of handle.createReadStream()) hash.update(chunk as Buffer);
  if (hash.digest("hex") !== sha256)
    throw new TrainError("bad-checkpoint", `${folder}: ${name} was changed: its hash differs from the recorded one`);
}

async function withTensors(path: string, use: (source: WeightSource) => Promise<void>): Promise<void> {
  const source = await openWeights(path);
  try {
    await use(source);
  } finally {
    await source.close();
  }
}

/** Converts errors of the file system and the tensor reader to TrainErrors about the checkpoint. */
async function reading<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    if (cause instanceof WeightsError || cause instanceof SessionError)
      throw new TrainError(
        "bad-checkpoint",
        cause instanceof SessionError || cause.message.startsWith(path) ? cause.message : `${path}: ${cause.message}`,
        { hint: cause.hint, cause },
      );
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const { path: at } = cause as NodeJS.ErrnoException; // errors of the file system have a path
    const missing = at === undefined || at === path ? "there is no such folder" : `${basename(at)} is missing`;
    throw new TrainError(
      "bad-checkpoint",
      `cannot read the checkpoint ${path}: ${reasonOf(code, { ENOENT: missing })}`,
      { cause },
    );
  }
}
