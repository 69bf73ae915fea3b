// Keeps files of packages in a browser's Cache storage by their hashes. Loaded on demand, and so imports types alone.
import type { Manifest, ManifestFile } from "./manifest.js";

export interface CacheOptions {
  /** The most bytes that packages of this origin keep; the oldest files go first. Default 4 GiB. */
  readonly maxBytes?: number;
}

/** Files that were fetched before; each reader checks the hash. */
export interface FileCache {
  read(file: ManifestFile): Promise<Uint8Array<ArrayBuffer> | null>;
  write(file: ManifestFile, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

const NAME = "modc-packages";
const MOST_BYTES = 4 * 1024 ** 3;
const MODEL = "x-modc-model";
const BYTES = "content-length";
/** Keys of a Cache are addresses; nothing is fetched from this one. */
const keyOf = ({ sha256 }: ManifestFile): string => `https://modc.invalid/${sha256}`;

/**
 * Opens the cache for a package, and deletes files that earlier versions of the package left. Null if the browser has
 * no cache, or refuses it: outside https and localhost, or in a private window.
 */
export async function openCache(
  { model, files, shards }: Manifest,
  { maxBytes = MOST_BYTES }: CacheOptions,
): Promise<FileCache | null> {
  if (typeof caches === "undefined") return null;
  const cache = await caches.open(NAME).catch(() => null);
  if (cache === null) return null;
  const own = new Set(files.filter(({ name }) => shards.includes(name)).map(keyOf));
  const kept = async (): Promise<{ readonly key: Request; readonly model: string; readonly bytes: number }[]> =>
    Promise.all(
      (await cache.keys()).map(async (key) => {
        const headers = (await cache.match(key))?.headers;
        return { key, model: decodeURIComponent(headers?.get(MODEL) ?? ""), bytes: Number(headers?.get(BYTES) ?? 0) };
      }),
    );
  for (const entry of await kept()) if (entry.model === model && !own.has(entry.key.url)) await cache.delete(entry.key);

  /** Deletes the oldest files of other packages until `bytes` more have room; false if they cannot have it. */
  const makeRoom = async (bytes: number): Promise<boolean> => {
    const entries = await kept();
    const others = entries.filter(({ key }) => !own.has(key.url));
    const sum = (some: typeof entries): number => some.reduce((n, entry) => n + entry.bytes, 0);
    let excess = sum(entries) + bytes - maxBytes;
    if (excess > sum(others)) return false;
    for (const entry of others) {
      if (excess <= 0) break;
      await cache.delete(entry.key);
      excess -= entry.bytes;
    }
    return true;
  };
  return {
    async read(file) {
      const found = await cache.match(keyOf(file)).catch(() => null);
      return found ? new Uint8Array(await found.arrayBuffer()) : null;
    },
    async write(file, bytes) {
      if (!(await makeRoom(bytes.length))) return;
      const headers = { [MODEL]: encodeURIComponent(model), [BYTES]: String(bytes.length) };
      // The browser has less room than the limit: the file is fetched again next time.
      await cache.put(keyOf(file), new Response(bytes, { headers })).catch(() => null);
    },
  };
}
