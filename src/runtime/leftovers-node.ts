// Temporary files and folders that are there now, so that whoever ends the process early can remove them. Node only.
import { rmSync } from "node:fs";
import { errnoOf } from "../base/errno.js";

const paths = new Set<string>();
let told: (any: boolean) => void = () => {};

/**
 * Says that `path` is temporary, before it is made. Returns what says that it is no more, once it was renamed or
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

/** Removes them all, at once. One that cannot be removed stays. */
export function removeLeftovers(): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (fault) {
      if (errnoOf(fault) === null) throw fault; // what the file system refuses cannot be mended here
    }
  }
}

/** Calls `listener` whenever there are some, or none any more: one listener, that of the command line. */
export function watchLeftovers(listener: (any: boolean) => void): void {
  told = listener;
}
