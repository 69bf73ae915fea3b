// Whether a file belongs to a folder, after its links are followed. Node only.
import { join, sep } from "node:path";

/** The path of a snapshot, `<repository>/snapshots/<commit>`, or of something in it. */
const SNAPSHOT = /^(.+)[/\\]snapshots[/\\][0-9a-f]{40}(?=[/\\]|$)/;

/**
 * Whether the file with the real path `file` is in the folder with the real path `folder`. The files of a snapshot in
 * the cache of Hugging Face's `huggingface_hub` are links to `blobs` beside `snapshots`, so these are in the snapshot.
 */
export function isInside(file: string, folder: string): boolean {
  const repository = SNAPSHOT.exec(folder)?.[1];
  return isBelow(file, folder) || (repository !== undefined && isBelow(file, join(repository, "blobs")));
}

const isBelow = (file: string, folder: string): boolean =>
  file.startsWith(folder.endsWith(sep) ? folder : folder + sep);
