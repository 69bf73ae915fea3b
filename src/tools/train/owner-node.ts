// Identifies the process that owns a lock, so that another process can tell whether it still runs.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errnoOf } from "../../ground/base/errno.js";

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
  const found = /^([a-zA-Z0-9.-]{1,40})_([0-9a-f]{16})_([1-9]\d{0,14})_([0-9a-f]{1,32})_([0-9a-f]{16})$/.exec(name);
  if (!found) return null;
  const [, host, place, pid, started, unique] = found;
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
