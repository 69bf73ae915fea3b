// The folder of a run: its checkpoints, links to the last and the best, and deletion of old ones.
import { randomBytes } from "node:crypto";
import { copyFile, readdir, readlink, symlink, rm, rmdir } from "node:fs/promises";
import { basename, join, dirname, resolve } from "node:path";
import {
  DISCARDED,
  isComplete,
  readManifest,
  REPLACED,
  UNFINISHED,
  writeCheckpoint,
  type CheckpointContents,
} from "./checkpoint-node.js";
import { disk, makeFolder, syncFolder, writing, type Disk } from "./disk-node.js";
import { TrainError } from "./errors.js";
import { settledFrom } from "./settings.js";
import { errnoOf } from "../../ground/base/errno.js";

export const CHECKPOINTS = "checkpoints";
export const CACHE = ".cache";
const NAME = /^step-(\d{8,})$/;
const SET_ASIDE = /^set-aside-(\d+)$/;

export const nameOf = (step: number): string => `step-${String(step).padStart(8, "0")}`;
const stepOf = (name: string): number | null => {
  const match = NAME.exec(name);
  return match ? Number(match[1]) : null;
};

/** A folder that a run writes to. */
export interface RunFolder {
  readonly path: string;
  /** Folder of the token cache. */
  readonly cache: string;
  readonly log: string;
  readonly report: string;
  /**
   * Writes a checkpoint, links it as the last and, if `best`, as the best, and deletes old checkpoints. Returns its
   * path.
   */
  save(contents: CheckpointContents, options: { readonly keep: number; readonly best: boolean }): Promise<string>;
  /** The folder of the last checkpoint, or the best; null: there is none. */
  find(which: "last" | "best"): Promise<string | null>;
  /** Steps of all checkpoints, in ascending order. */
  steps(): Promise<readonly number[]>;
  checkpoint(step: number): string;
  /**
   * Links a checkpoint as the last, and the checkpoint with the lowest validation loss up to it as the best. Later
   * checkpoints, whose steps will be repeated, are moved to a separate folder with a copy of the log. Returns that
   * folder; null if there are no later checkpoints.
   */
  goBackTo(step: number): Promise<string | null>;
}

/**
 * Opens a run's folder, created if missing, and repairs what a killed run left incomplete. Throws TrainError if the
 * folder cannot be written.
 */
export async function openRunFolder(path: string, on: Disk = disk): Promise<RunFolder> {
  const folder = join(path, CHECKPOINTS);
  await writing(path, async () => {
    await makeFolder(folder);
    await mend(folder, on);
  });
  const steps = async (): Promise<readonly number[]> =>
    (await readdir(folder))
      .map(stepOf)
      .filter((step) => step !== null)
      .sort((a, b) => a - b);
  const checkpoint = (step: number): string => join(folder, nameOf(step));
  const log = join(path, "log.jsonl");
  const point = (which: "last" | "best", step: number): Promise<void> => pointTo(folder, which, nameOf(step), on);
  return {
    path,
    cache: join(path, CACHE),
    log,
    report: join(path, "report.html"),
    steps,
    checkpoint,
    find: (which) => pointedAt(folder, which),
    goBackTo: (step) =>
      writing(folder, async () => {
        const all = await steps();
        const best = await bestOf(all.filter((s) => s <= step).map(checkpoint));
        // Later checkpoints are moved first, so that any checkpoint newer than `last` belongs to this run.
        const aside = await setAside(folder, all.filter((s) => s > step).map(nameOf), log, on);
        await point("last", step);
        if (best === null) await on.remove(join(folder, "best"));
        else if (best !== (await pointedAt(folder, "best"))) await point("best", stepOf(basename(best))!);
        return aside;
      }),
    async save(contents, { keep, best }) {
      const { step } = contents;
      await writeCheckpoint(checkpoint(step), contents, on);
      return writing(folder, async () => {
        // `last` is linked last: `goBackTo` repairs the case in which only `best` was linked.
        if (best) await point("best", step);
        await point("last", step);
        await discard(
          folder,
          (await steps()).filter((s) => s <= step),
          keep,
          on,
        );
        return checkpoint(step);
      });
    },
  };
}

/**
 * Restores a checkpoint that was moved aside if its replacement was never completed, and removes other incomplete
 * folders.
 */
async function mend(folder: string, on: Disk): Promise<void> {
  const present = await readdir(folder);
  for (const name of present)
    if (name.startsWith(UNFINISHED) || name.startsWith(DISCARDED)) await on.remove(join(folder, name));
  for (const name of present.filter((n) => n.startsWith(REPLACED))) {
    const original = /^step-\d+/.exec(name.slice(REPLACED.length))?.[0];
    if (original !== undefined && !present.includes(original) && (await isComplete(join(folder, name)))) {
      await on.rename(join(folder, name), join(folder, original));
      await syncFolder(folder, on);
    } else await on.remove(join(folder, name));
  }
}

/**
 * The first checkpoint with the lowest validation loss that counts; null if none has one. Unreadable checkpoints are
 * skipped.
 */
async function bestOf(paths: readonly string[]): Promise<string | null> {
  let best: { readonly path: string; readonly loss: number } | null = null;
  for (const path of paths) {
    const loss = await validationOf(path);
    if (loss !== null && Number.isFinite(loss) && (best === null || loss < best.loss)) best = { path, loss };
  }
  return best?.path ?? null;
}

/** The validation loss of a checkpoint; null if it has none that counts, or cannot be read. */
async function validationOf(path: string): Promise<number | null> {
  try {
    const { validation, step, settings } = await readManifest(path);
    const { live, steps } = settings;
    // A loss measured before the live parameters reached their final values does not count.
    const counts = typeof live !== "string" || typeof steps !== "number" || step >= settledFrom({ live, steps });
    return counts ? validation : null;
  } catch (fault) {
    if (fault instanceof TrainError) return null;
    throw fault;
  }
}

/** Moves checkpoints, the newest first, and a copy of the log to a new folder. */
async function setAside(folder: string, names: readonly string[], log: string, on: Disk): Promise<string | null> {
  if (names.length === 0) return null;
  const numbers = (await readdir(folder)).map((name) => Number(SET_ASIDE.exec(name)?.[1] ?? 0));
  const aside = join(folder, `set-aside-${1 + Math.max(0, ...numbers)}`);
  await on.mkdir(aside);
  await copyFile(log, join(aside, basename(log))).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause; // the run has no log
  });
  for (const name of names.toReversed()) await on.rename(join(folder, name), join(aside, name));
  await syncFolder(aside, on);
  await syncFolder(folder, on);
  return aside;
}

/** Creates or atomically replaces the link `which` to a checkpoint. */
async function pointTo(folder: string, which: "last" | "best", name: string, on: Disk): Promise<void> {
  const fresh = join(folder, `${UNFINISHED}${which}`);
  await on.remove(fresh);
  await symlink(name, fresh, "junction");
  // on Windows a rename does not replace a link
  if (process.platform === "win32") await on.remove(join(folder, which));
  await on.rename(fresh, join(folder, which));
  await syncFolder(folder, on);
}

/** The checkpoint a link points to; null if there is no link, or it does not point to a checkpoint of this folder. */
async function pointedAt(folder: string, which: "last" | "best"): Promise<string | null> {
  try {
    const name = await readlink(join(folder, which));
    return stepOf(name) === null ? null : join(folder, name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cause;
  }
}

/**
 * Deletes all checkpoints but the newest `keep`, the last and the best. Each is renamed before deletion, so that no
 * partly deleted checkpoint is ever visible.
 */
async function discard(folder: string, steps: readonly number[], keep: number, on: Disk): Promise<void> {
  const kept = new Set([...steps.slice(-keep).map(nameOf), ...(await names(folder))]);
  for (const step of steps) {
    const name = nameOf(step);
    if (kept.has(name)) continue;
    const aside = join(folder, `${DISCARDED}${name}-${randomBytes(6).toString("hex")}`);
    await on.rename(join(folder, name), aside);
    await on.remove(aside);
  }
}

async function names(folder: string): Promise<readonly string[]> {
  const pointed = await Promise.all([pointedAt(folder, "last"), pointedAt(folder, "best")]);
  return pointed.flatMap((path) => (path === null ? [] : [path.slice(folder.length + 1)]));
}

/** Validation loss of the best checkpoint; null if there is none, it is damaged, or its loss does not count. */
export async function bestLoss(run: RunFolder): Promise<number | null> {
  const path = await run.find("best");
  return path === null ? null : validationOf(path);
}

export interface Unbegun {
  /** Removes the files created inside the folder. Call it while holding the lock. */
  inside(): Promise<void>;
  /** Removes the folder and the parent folders that were created for it. Call it after releasing the lock. */
  folder(): Promise<void>;
}

/**
 * Records which folders exist before a run creates its own. Later only new folders are removed, and only if they
 * contain no files of others.
 */
export async function noteFolder(path: string, { cache }: { readonly cache: string }): Promise<Unbegun> {
  const missing: string[] = [];
  for (let at = resolve(path); (await namesIn(at)) === null; at = dirname(at)) missing.push(at);
  const entries = await namesIn(path);
  const tokens = new Set(await namesIn(join(path, cache)));
  return {
    async inside() {
      for (const name of (await namesIn(join(path, cache))) ?? [])
        if (!tokens.has(name)) await rm(join(path, cache, name), { recursive: true, force: true });
      for (const name of (await namesIn(path)) ?? [])
        if (entries === null || !entries.includes(name)) await removeEmpty(join(path, name));
    },
    async folder() {
      for (const folder of missing) await removeEmpty(folder);
    },
  };
}

/** The names in a folder; null if there is no folder. */
async function namesIn(path: string): Promise<readonly string[] | null> {
  try {
    return await readdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return null;
  }
}

/** Folders that are not empty, or cannot be removed, stay: the error that prevented the run is reported instead. */
async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
  }
}
