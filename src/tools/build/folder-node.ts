// Writes the files of a folder, all or none. Replaces only files that an earlier call wrote. Node only.
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { leftover } from "../../runtime/node.js";
import { asFileName, makeFolders } from "../../ground/files/place-node.js";
import { escapedName } from "../../ground/base/shown.js";
import { FolderError } from "./package-json.js";
import type { WriteFile } from "./package.js";

/** The record of an earlier call: the files that it wrote to the folder. */
export interface EarlierFiles {
  /** The mark (a digest) of each file's contents, by file name with slashes. */
  readonly marks: ReadonlyMap<string, string>;
  /** Computes the mark of a file. */
  readonly markOf: (path: string) => string | Promise<string>;
  /** Files that may have changed since the earlier call, because the new files include the changes. */
  readonly merged: ReadonlySet<string>;
  /** The file that holds this record. The record is written last. */
  readonly record: string;
}

export interface NewFolder {
  /** The folder into which new files are written before they are moved to their names. */
  readonly fresh: string;
  readonly write: WriteFile;
}

/**
 * Calls `fill`, which writes files to a temporary folder, then moves the files to `path`. Files of the earlier call
 * that the new one lacks are removed; all other files stay. If `fill` throws, or a file cannot be moved, `path` is
 * unchanged. Throws FolderError for a file that has changed since the earlier call, or that the earlier call did not
 * write.
 */
export async function writeFolder<T>(
  path: string,
  earlier: EarlierFiles,
  fill: (folder: NewFolder) => Promise<T>,
): Promise<T> {
  const target = resolve(path);
  const code = randomBytes(6).toString("hex");
  // Inside an existing folder, renames work even if the folder is a mount point.
  const temporary = existsSync(target)
    ? join(target, `.modc-${code}`)
    : join(dirname(target), `.${basename(target)}-${code}`);
  const fresh = join(temporary, "new");
  const gone = leftover(temporary);
  let kept = false;
  try {
    await mapErrno(path, async () => makeFolders(fresh));
    const write: WriteFile = (name, bytes) =>
      mapErrno(path, async () => {
        makeFolders(dirname(join(fresh, name)));
        await writeFile(join(fresh, name), bytes);
      });
    const result = await fill({ fresh, write });
    await mapErrno(path, async () => {
      if (!existsSync(target)) return renameSync(fresh, target);
      const names = filesIn(fresh).sort((a, b) => Number(a === earlier.record) - Number(b === earlier.record));
      await expectUnchanged(path, names, earlier, fresh);
      const old = [...earlier.marks.keys()].filter((name) => !names.includes(name));
      replaceFiles({ place: target, fresh, old: join(temporary, "old") }, names, old);
    });
    return result;
  } catch (fault) {
    kept = fault instanceof NotRestoredError;
    throw fault;
  } finally {
    if (!kept) rmSync(temporary, { recursive: true, force: true });
    gone();
  }
}

/** Files could not be moved back to the folder. They are in the temporary folder, which stays. */
class NotRestoredError extends FolderError {}

/** Throws FolderError for a path that names a file. */
export function expectFolderName(path: string): void {
  const name = asFileName(path);
  if (name !== null)
    throw new FolderError(`${path} is a file name, but the output is a folder`, {
      hint: `name a folder, such as ${name}`,
    });
}

/** Names of all files in a folder, with slashes. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile()
      ? [
          join(entry.parentPath, entry.name)
            .slice(folder.length + 1)
            .replaceAll("\\", "/"),
        ]
      : [],
  );

/**
 * Throws FolderError if the folder holds a file with one of these names that the earlier call did not write, or a file
 * of the earlier call that has changed since. Files equal to the new ones in `fresh` are accepted.
 */
export async function expectUnchanged(
  path: string,
  names: readonly string[],
  { marks, markOf, merged, record }: EarlierFiles,
  fresh: string | null = null,
): Promise<void> {
  const changed: string[] = [];
  const foreign: string[] = [];
  for (const name of new Set([...names, ...marks.keys()])) {
    if (name === record || (merged.has(name) && marks.has(name))) continue;
    const stats = lookUp(path, name);
    if (stats === "absent") continue;
    const mark = stats === "file" ? await markOf(join(path, name)) : null;
    if (mark !== null && mark === marks.get(name)) continue;
    const next = fresh === null ? null : join(fresh, name);
    if (mark !== null && next !== null && existsSync(next) && mark === (await markOf(next))) continue;
    (marks.has(name) ? changed : foreign).push(name);
  }
  const lost = changed.length > 0 ? changed : foreign;
  if (lost.length === 0) return;
  const them = lost.length === 1 ? "it" : "them";
  throw new FolderError(
    changed.length > 0
      ? `${path}: ${listed(lost)} changed since modc wrote ${them}; the changes would be lost`
      : `${path} has ${listed(lost)}, not written by modc, which would be lost`,
    { hint: `move ${them} away and try again, or name another folder` },
  );
}

const MOST_LISTED = 8;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_LISTED).map((name) => escapedName(name));
  const more = names.length - shown.length;
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** The kind of the folder's entry with this name. A link, at the end or on the path, is `other`. */
function lookUp(folder: string, name: string): "absent" | "file" | "other" {
  const parts = name.split("/");
  for (const i of parts.keys()) {
    const stats = lstatSync(join(folder, ...parts.slice(0, i + 1)), { throwIfNoEntry: false });
    if (stats === undefined) return "absent";
    if (i === parts.length - 1) return stats.isFile() ? "file" : "other";
    if (!stats.isDirectory()) return "other";
  }
  return "other";
}

interface Places {
  readonly place: string;
  readonly fresh: string;
  /** The folder for replaced files. */
  readonly old: string;
}

/**
 * Moves the files `names` from `fresh` to `place`, and the files `removed` to `old`. The function is synchronous, so
 * that no interrupt comes between two files. If a file cannot be moved, everything is moved back. Throws
 * NotRestoredError if moving back fails.
 */
function replaceFiles({ place, fresh, old }: Places, names: readonly string[], removed: readonly string[]): void {
  const moved: { readonly name: string; readonly from: string; readonly to: string }[] = [];
  const move = (name: string, from: string, to: string): void => {
    makeFolders(dirname(to));
    renameSync(from, to);
    moved.push({ name, from, to });
  };
  const moveAway = (name: string): void => {
    if (lookUp(place, name) !== "absent") move(name, join(place, name), join(old, name));
  };
  try {
    for (const name of names) {
      moveAway(name);
      move(name, join(fresh, name), join(place, name));
    }
    for (const name of removed) moveAway(name);
  } catch (fault) {
    const faults = new Map<string, unknown>();
    for (const { name, from, to } of moved.reverse()) {
      try {
        renameSync(to, from);
      } catch (own) {
        faults.set(name, own); // the other files are moved back nevertheless
      }
    }
    removeEmpty(place, names);
    if (faults.size > 0) throw notRestored({ place, fresh, old }, fault, faults);
    throw fault;
  }
  removeEmpty(place, removed);
}

/** The error for files that could not be moved back. `faults`: the reason for each file name. */
function notRestored({ place, old }: Places, fault: unknown, faults: ReadonlyMap<string, unknown>): NotRestoredError {
  const names = listed([...faults.keys()]);
  const them = faults.size === 1 ? "it" : "them";
  const [first] = faults.values();
  return new NotRestoredError(
    `cannot write ${place}: ${reason(fault)}; ${names} could not be moved back: ${reason(first)}`,
    {
      hint: `move ${them} back yourself: the previous files are in ${old}`,
      cause: new AggregateError([fault, ...faults.values()], "files could be moved neither forward nor back"),
    },
  );
}

const reason = (fault: unknown): string => {
  const code = errnoOf(fault);
  return code === null ? String(fault) : reasonOf(code);
};

/** Removes folders that are now empty. A folder that cannot be removed, such as a mount point, stays. */
function removeEmpty(place: string, names: readonly string[]): void {
  for (const name of names)
    for (let at = dirname(name); at !== "."; at = dirname(at)) {
      const folder = join(place, at);
      try {
        if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
      } catch (fault) {
        if (errnoOf(fault) === null) throw fault;
      }
    }
}

/** Runs `body`, converting errors of the file system to FolderErrors. */
export async function mapErrno<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const hint = code === "ENOSPC" ? "free some space, or write elsewhere with --output" : null;
    const reason = reasonOf(code, { ENOENT: "its folder is missing", ENOTDIR: "it is a file", EEXIST: "it is a file" });
    throw new FolderError(`cannot write ${path}: ${reason}`, { hint, cause });
  }
}
