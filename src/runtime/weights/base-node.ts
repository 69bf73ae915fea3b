// Trained weights over a base: a folder whose file of weights has only those that were trained, and the record of where
// the others are. Node only.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { escapedName, quotedName } from "../../ground/base/shown.js";
import { WeightsError } from "../device/errors.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { parseJson, type Json, type JsonObject } from "./formats/json.js";
import { overlaid } from "./overlay.js";
import type { WeightSource } from "./formats/source.js";

/** The name of the record in a checkpoint's folder. */
export const BASE = "modc-base.json";
const FORMAT = "modc-base";
const VERSION = 1;
const MOST_BYTES = 100_000_000;

interface BaseFile {
  /** A name in the folder of the base. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface BaseRecord {
  /** The path of the base's weights from the root. */
  readonly weights: string;
  /** The files that hold them. */
  readonly files: readonly BaseFile[];
  /** Keys of the base that do not count: keys for weights that the run trained. */
  readonly hidden: readonly string[];
  /** The key of each weight that the folder itself has, by path. */
  readonly keys: Readonly<Record<string, string>>;
}

export const printBase = (record: BaseRecord): string =>
  `${JSON.stringify({ format: FORMAT, version: VERSION, ...record }, null, 1)}\n`;

/** Describes the files of weights at a path, by size and hash. */
export async function describeBase(path: string): Promise<Pick<BaseRecord, "weights" | "files">> {
  const weights = await realpath(path);
  const { folder, names } = await filesOf(weights);
  const files: BaseFile[] = [];
  for (const name of names) {
    const file = join(folder, name);
    files.push({ name, bytes: (await stat(file)).size, sha256: await hashOf(file) });
  }
  return { weights, files };
}

/** The record in a folder. Throws WeightsError where it is broken. */
export function readBase(folder: string): BaseRecord {
  const place = join(folder, BASE);
  const fail = (what: string): never => {
    throw new WeightsError(`${place} ${what}`);
  };
  const bytes = readRegular(place, MOST_BYTES, (size) => new WeightsError(`${place} has ${size} bytes: too many`));
  let json: Json;
  try {
    json = parseJson(new TextDecoder().decode(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return fail(`is broken: ${cause.message}`);
  }
  const record = (value: Json | undefined): JsonObject => (value instanceof Map ? value : fail("is broken"));
  const text = (value: Json | undefined): string => (typeof value === "string" ? value : fail("is broken"));
  const list = (value: Json | undefined): readonly Json[] =>
    Array.isArray(value) ? (value as readonly Json[]) : fail("is broken"); // `Array.isArray` drops readonly
  const root = record(json);
  if (root.get("format") !== FORMAT) fail("is not one of modc's");
  if (root.get("version") !== VERSION) fail(`has another version than ${VERSION}, which this modc reads`);
  const keys = Object.create(null) as Record<string, string>; // any path is allowed
  for (const [path, key] of record(root.get("keys"))) keys[path] = text(key);
  return {
    weights: text(root.get("weights")),
    files: list(root.get("files")).map((entry) => {
      const file = record(entry);
      const size = file.get("bytes");
      return {
        name: text(file.get("name")),
        bytes: typeof size === "number" ? size : fail("is broken"),
        sha256: text(file.get("sha256")),
      };
    }),
    hidden: list(root.get("hidden")).map(text),
    keys,
  };
}

/** The files of the bases that the weights of a folder lie over, all the way down. Throws WeightsError. */
export function baseFilesOf(folder: string): readonly string[] {
  const { weights, files } = readBase(folder);
  const below = files.some(({ name }) => name === BASE);
  const at = below || !files.some(({ name }) => name === basename(weights)) ? weights : dirname(weights);
  return [...files.map(({ name }) => join(at, name)), ...(below ? baseFilesOf(weights) : [])];
}

/** Opens the weights of a folder over those of its base. Throws WeightsError for a base that is gone or has changed. */
export async function openOverBase(
  folder: string,
  open: (path: string) => Promise<WeightSource>,
): Promise<WeightSource> {
  const record = readBase(folder);
  await expectUnchanged(folder, record);
  const base = await open(record.weights);
  try {
    return overlaid(base, await open(join(folder, SINGLE)), new Set(record.hidden));
  } catch (error) {
    await base.close();
    throw error;
  }
}

/** Throws WeightsError where the base is not what it was. */
async function expectUnchanged(folder: string, { weights, files }: BaseRecord): Promise<void> {
  const needsBase = `${folder} has only trained weights, which complete the weights of ${escapedName(weights)}`;
  const fail = (what: string): never => {
    throw new WeightsError(`${needsBase}: ${what}`, {
      hint: "put the base weights of the run back there; modc merge writes trained and base weights as one file",
    });
  };
  const there = await filesOf(weights).catch((): null => null); // whatever the reason, nothing can be read there
  if (there === null) return fail("they are missing");
  if (there.names.length !== files.length || files.some(({ name }) => !there.names.includes(name)))
    return fail("they are different files now");
  for (const { name, bytes, sha256 } of files) {
    const file = join(there.folder, name);
    const stats = await stat(file).catch((): null => null);
    if (stats === null) return fail(`${escapedName(name)} is missing`);
    if (stats.size !== bytes || (await hashOf(file)) !== sha256) return fail(`${escapedName(name)} has changed`);
  }
}

/** The files that hold the weights at a path. */
async function filesOf(path: string): Promise<{ readonly folder: string; readonly names: readonly string[] }> {
  if (!(await stat(path)).isDirectory()) {
    const [folder, name] = [dirname(path), basename(path)];
    return { folder, names: name.endsWith(".json") ? [name, ...(await shardsIn(path, name))] : [name] };
  }
  const has = (name: string): Promise<boolean> =>
    stat(join(path, name)).then(
      (stats) => stats.isFile(),
      () => false, // whatever the reason, nothing can be read there
    );
  if (await has(BASE)) return { folder: path, names: [SINGLE, BASE] };
  return (await has(INDEX)) ? filesOf(join(path, INDEX)) : { folder: path, names: [SINGLE] };
}

/** Hashes that were computed in this process, by the file as it was. */
const hashes = new Map<string, string>();

async function hashOf(file: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(file);
  const state = JSON.stringify([file, ino, size, mtimeMs]);
  const known = hashes.get(state);
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  // a stream without an encoding yields buffers
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  const digest = hash.digest("hex");
  hashes.set(state, digest);
  return digest;
}

export const INDEX = "model.safetensors.index.json";
export const SINGLE = "model.safetensors";
const MOST_INDEX_BYTES = 100_000_000;

/** The shard of each key. Throws WeightsError. */
export async function readIndex(path: string, name: string): Promise<ReadonlyMap<string, string>> {
  const bytes = readRegular(
    path,
    MOST_INDEX_BYTES,
    (size) => new WeightsError(`${name} has ${size} bytes: too many for an index`),
  );
  let json;
  try {
    json = parseJson(new TextDecoder().decode(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new WeightsError(`${name} is not an index of shards: ${cause.message}`, { cause });
  }
  const map = json instanceof Map ? json.get("weight_map") : undefined;
  if (!(map instanceof Map)) throw new WeightsError(`${name} is not an index of shards: it has no weight_map`);
  const fileOf = new Map<string, string>();
  for (const [key, file] of map) {
    if (typeof file !== "string") throw new WeightsError(`${name}: the shard of ${quotedName(key)} is not a file name`);
    fileOf.set(key, file);
  }
  return fileOf;
}

/** The names of all shards of an index. Throws WeightsError. */
const shardsIn = async (path: string, name: string): Promise<readonly string[]> => [
  ...new Set((await readIndex(path, name)).values()),
];
