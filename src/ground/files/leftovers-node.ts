// The temporary files and folders that exist now, to be removed if the process ends early. Node only.
import { rmSync } from "node:fs";
import { errnoOf } from "../base/errno.js";

const paths = new Set<string>();
let told: (any: boolean) => void = () => {};

/**
 * Registers `path` as temporary, before it is created. Call the returned function once the path has been renamed or
 * removed.
 */
export function leftover(path: string): () => void {
  paths.add(path);
  told(true);
  return () => {
    paths.delete(path);
    told(paths.size > 0);
  };
}

/** Removes all registered paths, synchronously. A path that cannot be removed stays. */
export function removeLeftovers(): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (fault) {
      if (errnoOf(fault) === null) throw fault; // errors of the file system cannot be handled here
    }
  }
}

/**
 * Sets the listener, which is called when the first path is registered and when the last path is released. Only the
 * command line uses it.
 */
export function watchLeftovers(listener: (any: boolean) => void): void {
  told = listener;
}
