// Writes a folder into a cache as `huggingface_hub` does: files in `blobs`, and links to them in a snapshot.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const commitOf = (text: string): string => createHash("sha1").update(text).digest("hex");

export interface Cached {
  /** `owner/name`, or a name of a model without an owner. */
  readonly repository: string;
  /** The revision that names the snapshot. */
  readonly revision: string;
  readonly commit: string;
}

/** Stores a folder's files in the cache. Returns the snapshot's folder. */
export function writeCached(cache: string, folder: string, { repository, revision, commit }: Cached): string {
  const place = join(cache, `models--${repository.replace("/", "--")}`);
  const [blobs, snapshot, ref] = [
    join(place, "blobs"),
    join(place, "snapshots", commit),
    join(place, "refs", revision),
  ];
  for (const path of [blobs, snapshot, dirname(ref)]) mkdirSync(path, { recursive: true });
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    const hash = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hash), bytes);
    symlinkSync(join("..", "..", "blobs", hash), join(snapshot, name));
  }
  writeFileSync(ref, commit);
  return snapshot;
}
