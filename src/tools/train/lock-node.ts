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
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf } from "../../ground/base/errno.js";

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

// Identifies the process that owns a lock, so that another process can tell whether it still runs.

/** A process, and a unique name for one of its locks. */
export interface Owner {
  /** Name of the machine, for messages. */
  readonly host: string;
  /**
   * Identifies the namespace of process numbers: the machine, and on Linux the PID namespace (a container has its
   * own).
   */
  readonly place: string;
  readonly pid: number;
  /** When the process started, to distinguish it from a later process with the same number; "0" if unknown. */
  readonly started: string;
  readonly unique: string;
}

/** A new, unique owner record for this process. */
export const newOwner = (): Owner => ({ ...self(), unique: randomBytes(8).toString("hex") });

let known: Omit<Owner, "unique"> | null = null;

function self(): Omit<Owner, "unique"> {
  known ??= { host: hostOf(hostname()), place: placeOf(), pid: process.pid, started: startOf(process.pid) ?? "0" };
  return known;
}

export const printOwner = ({ host, place, pid, started, unique }: Owner): string =>
  [host, place, pid, started, unique].join("_");

/** Parses the output of `printOwner`; null for anything else. */
export function parseOwner(name: string): Owner | null {
  const match = /^([a-zA-Z0-9.-]{1,40})_([0-9a-f]{16})_([1-9]\d{0,14})_([0-9a-f]{1,32})_([0-9a-f]{16})$/.exec(name);
  if (!match) return null;
  const [, host, place, pid, started, unique] = match;
  return { host: host!, place: place!, pid: Number(pid), started: started!, unique: unique! };
}

/** The state of the process; `elsewhere`: on another machine or in another container, so unknown. */
export function stateOf({ place, pid, started }: Owner): "runs" | "gone" | "elsewhere" {
  if (place !== self().place) return "elsewhere";
  if (!runs(pid)) return "gone";
  const now = startOf(pid);
  return started !== "0" && now !== null && now !== started ? "gone" : "runs";
}

/** Whether a process with this number runs, of any user. A zombie process counts as ended. */
export function runs(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return !["Z", "X"].includes(statOf(pid)?.[0] ?? "");
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

const hostOf = (name: string): string => name.replaceAll(/[^a-zA-Z0-9.-]/g, "-").slice(0, 40) || "unknown";

/** If machines have the same name, systemd's machine id, if present, distinguishes them. */
const placeOf = (): string =>
  digest([
    hostname(),
    process.platform,
    read(() => readFileSync("/etc/machine-id", "utf8")),
    read(() => readlinkSync("/proc/self/ns/pid")),
  ]).slice(0, 16);

/** When a process started: a digest of its start time in ticks since boot and of the boot id; null if unknown. */
function startOf(pid: number): string | null {
  const ticks = statOf(pid)?.[19];
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  return ticks === undefined || boot === null ? null : digest([ticks, boot]).slice(0, 16);
}

/**
 * The fields of /proc/PID/stat after the process name, which may contain any character (proc_pid_stat(5)): the first is
 * the state, the twentieth the start time.
 */
function statOf(pid: number): readonly string[] | null {
  const stat = read(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? null;
}

const digest = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/** The text of a system file; null if the system has no such file. */
function read(body: () => string): string | null {
  try {
    return body();
  } catch (cause) {
    if (errnoOf(cause) !== null) return null;
    throw cause;
  }
}
