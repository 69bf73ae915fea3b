// A lock on a run's folder: one process at a time trains into it.
//
// The lock is a folder, `.lock`, with one empty entry, whose name identifies the process that owns it. Neither has
// contents, so a full disk cannot leave a partial lock. Each change is one atomic call of the file system that succeeds
// for one process only:
//
// - To take a free lock, a new folder with its entry is renamed to `.lock`, which fails if `.lock` has an entry.
// - To take over from a dead process, its entry is renamed, which fails if it no longer exists. Entry names are unique,
//   so a newer entry is never renamed.
// - To release, the process's own entry is removed, then the folder, which fails if it has a new entry.
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writing } from "./disk-node.js";
import { TrainError } from "./errors.js";
import { newOwner, parseOwner, printOwner, runs, stateOf } from "./owner-node.js";

const NAME = ".lock";
/** More attempts than other processes can cause: another fault prevents the lock. */
const MOST_TURNS = 1000;
/** Prefix of the folder of a lock that is being created; the entry's name follows. */
const FRESH = ".lock-";

/**
 * Locks a run's folder, created if missing, for this process; returns a function that releases the lock. Exactly one
 * process takes over the lock of a dead process, however many try. Throws TrainError if another process holds the lock
 * or may hold it: the state of a process on another machine is unknown.
 */
export async function lockFolder(path: string): Promise<() => Promise<void>> {
  const entry = printOwner(newOwner());
  await writing(path, async () => {
    await makeFolder(path);
    await take(path, entry);
    await sweep(path).catch(async (fault: unknown) => {
      await giveBack(path, entry);
      throw fault;
    });
  });
  return () => giveBack(path, entry);
}

async function take(path: string, entry: string): Promise<void> {
  const lock = join(path, NAME);
  const fresh = join(path, `${FRESH}${entry}`);
  try {
    await mkdir(join(fresh, entry), { recursive: true });
    // Each further attempt follows another process that took or released the lock meanwhile.
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      if (await put(fresh, lock)) return;
      const other = await entryOf(lock);
      if (other === entry) return; // on a network file system a call may succeed although its reply is lost
      if (other === "file") await removeOlder(path, lock);
      else if (other === null) await clear(lock);
      else {
        await expectGone(path, other);
        if (await replace(join(lock, other), join(lock, entry))) return;
      }
    }
    throw taken(path, "", "if none does");
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Error codes that mean that another process holds the lock, or held it a moment ago. */
const TAKEN: ReadonlySet<unknown> = new Set([
  "EEXIST",
  "ENOTEMPTY",
  "ENOTDIR",
  ...(process.platform === "win32" ? ["EPERM", "EACCES"] : []),
]);

const put = (from: string, to: string): Promise<boolean> => attempt(TAKEN, () => rename(from, to));
const replace = (from: string, to: string): Promise<boolean> => attempt(GONE, () => rename(from, to));
const GONE: ReadonlySet<unknown> = new Set(["ENOENT", ...(process.platform === "win32" ? ["EPERM", "EACCES"] : [])]);

/** Calls `body`; returns false if the call fails with one of these error codes. */
async function attempt(codes: ReadonlySet<unknown>, body: () => Promise<void>): Promise<boolean> {
  try {
    await body();
    return true;
  } catch (cause) {
    if (codes.has((cause as NodeJS.ErrnoException).code)) return false;
    throw cause;
  }
}

/** The entry of the lock; `file`: the lock file of an earlier modc; null: the lock is free. */
async function entryOf(lock: string): Promise<string | null> {
  try {
    return (await readdir(lock))[0] ?? null;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return null;
    if (code === "ENOTDIR") return "file";
    throw cause;
  }
}

/**
 * Removes an empty lock folder, left by a process that was killed during release: on Windows a rename does not replace
 * it.
 */
const clear = (lock: string): Promise<boolean> => attempt(new Set(["ENOENT", ...TAKEN]), () => rmdir(lock));

/** Throws if the process of an entry runs, or cannot be checked. */
async function expectGone(path: string, entry: string): Promise<void> {
  const owner = parseOwner(entry);
  const state = owner === null ? "elsewhere" : stateOf(owner);
  if (state === "gone") return;
  const since = await sinceOf(join(path, NAME));
  if (owner === null) throw taken(path, since, "if none does");
  const { pid, host } = owner;
  if (state === "runs") throw taken(path, ` (${pid})${since}`, "if no such process runs");
  throw taken(path, ` (${pid} on ${host})${since}`, `check on ${host} whether it still runs; if it does not`);
}

/** When the lock was taken (the last change of its folder); empty if it was released meanwhile. */
async function sinceOf(lock: string): Promise<string> {
  try {
    const { mtime } = await stat(lock);
    const two = (n: number): string => String(n).padStart(2, "0");
    const day = [mtime.getFullYear(), two(mtime.getMonth() + 1), two(mtime.getDate())].join("-");
    return `, since ${day} ${two(mtime.getHours())}:${two(mtime.getMinutes())},`;
  } catch (cause) {
    if (GONE.has((cause as NodeJS.ErrnoException).code)) return "";
    throw cause;
  }
}

const taken = (path: string, who: string, when: string): TrainError =>
  new TrainError("bad-option", `another process${who} trains into ${path}`, {
    hint: `give another folder; ${when}, remove ${join(path, NAME)}`,
  });

/**
 * Removes the lock file of an earlier modc, which holds a process number. Removing a file cannot remove a folder that
 * replaced it.
 */
async function removeOlder(path: string, lock: string): Promise<void> {
  const pid = Number(await readFile(lock, "utf8").catch(() => ""));
  if (runs(pid)) throw taken(path, ` (${pid})`, "if no such process runs");
  await attempt(new Set(["ENOENT", "EISDIR", "EPERM"]), () => unlink(lock));
}

/** Removes unfinished locks of killed processes. */
async function sweep(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    const owner = name.startsWith(FRESH) ? parseOwner(name.slice(FRESH.length)) : null;
    if (owner !== null && stateOf(owner) === "gone") await rm(join(path, name), { recursive: true, force: true });
  }
}

/** Releases the lock. The entries of other processes stay. */
async function giveBack(path: string, entry: string): Promise<void> {
  const lock = join(path, NAME);
  if (await attempt(GONE, () => rmdir(join(lock, entry)))) await clear(lock);
}
