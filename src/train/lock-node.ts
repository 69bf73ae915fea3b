// One process at a time trains into a folder.
//
// The lock is a folder, `.lock`, with one entry, whose name says which process has it. Neither ever holds anything, so
// a full disk leaves no half of one. Each change is one call that the file system carries out whole, and that succeeds
// for one process only:
//
// - To take what nobody has, a folder that was made with its entry is renamed to `.lock`, which fails where a folder
//   with an entry is.
// - To take over from a process that is gone, its entry is renamed, which fails where it is not there any more. No two
//   entries are ever named alike, so nothing that came later is renamed.
// - To give back, the own entry is removed, and no other; then the folder, which fails where there is an entry again.
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writing } from "./disk-node.js";
import { TrainError } from "./errors.js";
import { newOwner, parseOwner, printOwner, runs, stateOf } from "./owner-node.js";

const NAME = ".lock";
/** Beyond what others can do meanwhile: something else is in the way. */
const MOST_TURNS = 1000;
/** Followed by the entry: a lock that is being made. */
const FRESH = ".lock-";

/**
 * Takes a run's folder, which it makes where it is missing, for this process; returns what gives it back. A lock whose
 * process is gone is taken over, by one process however many try. Throws TrainError where another has it, or might:
 * of a process on another machine it cannot be told.
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
    // Each further turn is another process's doing: it took the lock or gave it back meanwhile.
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      if (await put(fresh, lock)) return;
      const other = await entryOf(lock);
      if (other === entry) return; // over a network a call may fail for the answer alone
      if (other === "file") await removeOlder(path, lock);
      else if (other === null) await clear(lock);
      else {
        await expectGone(path, other);
        if (await replace(join(lock, other), join(lock, entry))) return;
      }
    }
    throw taken(path, "", "where none does");
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** What says that another has it, or had it a moment ago. */
const TAKEN: ReadonlySet<unknown> = new Set([
  "EEXIST",
  "ENOTEMPTY",
  "ENOTDIR",
  ...(process.platform === "win32" ? ["EPERM", "EACCES"] : []),
]);

const put = (from: string, to: string): Promise<boolean> => attempt(TAKEN, () => rename(from, to));
const replace = (from: string, to: string): Promise<boolean> => attempt(GONE, () => rename(from, to));
const GONE: ReadonlySet<unknown> = new Set(["ENOENT", ...(process.platform === "win32" ? ["EPERM", "EACCES"] : [])]);

/** Whether it was done; false for those codes. */
async function attempt(codes: ReadonlySet<unknown>, body: () => Promise<void>): Promise<boolean> {
  try {
    await body();
    return true;
  } catch (cause) {
    if (codes.has((cause as NodeJS.ErrnoException).code)) return false;
    throw cause;
  }
}

/** The entry of the lock; `file`: what an earlier modc left; null: nobody has it. */
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

/** Where a rename does not replace an empty folder (Windows): one whose process was stopped while it gave it back. */
const clear = (lock: string): Promise<boolean> => attempt(new Set(["ENOENT", ...TAKEN]), () => rmdir(lock));

/** Throws where the process of an entry runs, or cannot be looked for. */
async function expectGone(path: string, entry: string): Promise<void> {
  const owner = parseOwner(entry);
  const state = owner === null ? "elsewhere" : stateOf(owner);
  if (state === "gone") return;
  const since = await sinceOf(join(path, NAME));
  if (owner === null) throw taken(path, since, "where none does");
  const { pid, host } = owner;
  if (state === "runs") throw taken(path, ` (${pid})${since}`, "where no such process runs");
  throw taken(
    path,
    ` (${pid} on ${host})${since}`,
    `look on ${host} whether it runs, which cannot be told from here; where it does not`,
  );
}

/** When a lock was taken, which is when its folder changed last; nothing where it has been given back meanwhile. */
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
 * An earlier modc wrote the number of its process to a file. Removing a file never removes a folder that took its
 * place.
 */
async function removeOlder(path: string, lock: string): Promise<void> {
  const pid = Number(await readFile(lock, "utf8").catch(() => ""));
  if (runs(pid)) throw taken(path, ` (${pid})`, "where no such process runs");
  await attempt(new Set(["ENOENT", "EISDIR", "EPERM"]), () => unlink(lock));
}

/** Removes what processes that were killed were about to make. */
async function sweep(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    const owner = name.startsWith(FRESH) ? parseOwner(name.slice(FRESH.length)) : null;
    if (owner !== null && stateOf(owner) === "gone") await rm(join(path, name), { recursive: true, force: true });
  }
}

/** Whatever is there now, of another process or of somebody who removed the lock by hand, stays. */
async function giveBack(path: string, entry: string): Promise<void> {
  const lock = join(path, NAME);
  if (await attempt(GONE, () => rmdir(join(lock, entry)))) await clear(lock);
}
