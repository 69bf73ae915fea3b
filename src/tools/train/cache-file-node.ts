// Encoded data in the run's folder: a file that is made once, and a description of it that is written last.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { leftover } from "../../runtime/node.js";
import { makeFolder, writing } from "./disk-node.js";

/** What every description of a file has. */
export interface Described {
  /** SHA-256 of the file. */
  readonly sha256: string;
}

export interface CacheFileOptions<T extends Described> {
  /** The folder; created if it does not exist. */
  readonly cache: string;
  /** The file's path in the folder. */
  readonly path: string;
  /** The description in a JSON value; null: it is none. */
  readonly parse: (json: unknown) => T | null;
  /** Whether what the file was made of besides its name is still the same. Default: it is. */
  readonly isFresh?: (described: T) => Promise<boolean>;
  /** Its reason is thrown between two pieces of a file that is read. */
  readonly signal?: AbortSignal | undefined;
  /** Writes the file to a temporary path. */
  readonly make: (temporary: string) => Promise<T>;
}

/** The description of a file in the cache, which is made if it is missing or damaged. Throws TrainError. */
export async function cacheFile<T extends Described>(options: CacheFileOptions<T>): Promise<T> {
  const { cache, path, parse, make, isFresh = async () => true, signal } = options;
  const known = await writing(cache, () => readDescription(path, parse, signal));
  if (known && (await isFresh(known))) return known;
  return writing(cache, async () => {
    await makeFolder(cache);
    const fresh = `${path}.${randomBytes(6).toString("hex")}.tmp`;
    const temporary = [leftover(fresh), leftover(`${fresh}.json`)];
    try {
      const described = await make(fresh);
      await rename(fresh, path);
      const note = await open(`${fresh}.json`, "wx");
      try {
        await note.writeFile(JSON.stringify(described));
        await note.sync();
      } finally {
        await note.close();
      }
      await rename(`${fresh}.json`, `${path}.json`);
      return described;
    } catch (error) {
      await rm(fresh, { force: true });
      await rm(`${fresh}.json`, { force: true });
      throw error;
    } finally {
      for (const gone of temporary) gone();
    }
  });
}

/** Removes files that a killed process left unfinished in a cache. No other process may be writing to it. */
export async function removeUnfinished(cache: string): Promise<void> {
  await writing(cache, async () => {
    await makeFolder(cache);
    for (const name of await readdir(cache)) if (UNFINISHED.test(name)) await rm(join(cache, name), { force: true });
  });
}

const UNFINISHED = /^(tokens|records)-[0-9a-f]{32}\.bin\.[0-9a-f]{12}\.tmp(\.json)?$/;

/** Null if there is no description, or the file does not match its hash. */
async function readDescription<T extends Described>(
  path: string,
  parse: (json: unknown) => T | null,
  signal: AbortSignal | undefined,
): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(`${path}.json`, "utf8");
    await stat(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw cause;
  }
  const description = parsed(text, parse);
  if (description === null) return null;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer); // a stream without an encoding yields buffers
  }
  return hash.digest("hex") === description.sha256 ? description : null;
}

function parsed<T>(text: string, parse: (json: unknown) => T | null): T | null {
  try {
    return parse(JSON.parse(text));
  } catch (cause) {
    if (cause instanceof SyntaxError) return null; // incomplete: made again
    throw cause;
  }
}
