// The folder of a run: its checkpoints, which is the last and the best, and which are kept.
import { randomBytes } from "node:crypto";
import { readdir, readlink, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Program } from "../program/program.js";
import { DISCARDED, readCheckpoint, readManifest, UNFINISHED, writeCheckpoint, type Checkpoint, type CheckpointContents } from "./checkpoint-node.js";
import { disk, makeFolder, syncFolder, writing, type Disk } from "./disk-node.js";
import { TrainError } from "./errors.js";

const CHECKPOINTS = "checkpoints";
const NAME = /^step-(\d{8,})$/;

export const nameOf = (step: number): string => `step-${String(step).padStart(8, "0")}`;
const stepOf = (name: string): number | null => {
  const match = NAME.exec(name);
  return match ? Number(match[1]) : null;
};

/** A folder that a run writes to. */
export interface RunFolder {
  readonly path: string;
  /** Where tokens are kept. */
  readonly cache: string;
  readonly log: string;
  readonly report: string;
  /** Writes a checkpoint, makes it the last, and the best where it is, and discards those that are not kept. Returns its path. */
  save(contents: CheckpointContents, options: { readonly keep: number; readonly best: boolean }): Promise<string>;
  /** The folder of the last checkpoint, or the best; null: there is none. */
  find(which: "last" | "best"): Promise<string | null>;
  /** Steps of all checkpoints, ascending. */
  steps(): Promise<readonly number[]>;
  checkpoint(step: number): string;
  /** Makes an earlier checkpoint the last: what comes after it will be written anew. */
  goBackTo(step: number): Promise<void>;
}

/** Opens a run's folder, making it where it is missing, and clears away what a run that was killed left half-done. Throws TrainError where it cannot be written. */
export async function openRunFolder(path: string, on: Disk = disk): Promise<RunFolder> {
  const folder = join(path, CHECKPOINTS);
  await writing(path, async () => {
    await makeFolder(folder);
    for (const name of await readdir(folder)) if (name.startsWith(UNFINISHED) || name.startsWith(DISCARDED)) await on.remove(join(folder, name));
  });
  const steps = async (): Promise<readonly number[]> =>
    (await readdir(folder))
      .map(stepOf)
      .filter((step) => step !== null)
      .sort((a, b) => a - b);
  const point = (which: "last" | "best", step: number): Promise<void> => pointTo(folder, which, nameOf(step), on);
  return {
    path,
    cache: join(path, ".cache"),
    log: join(path, "log.jsonl"),
    report: join(path, "report.html"),
    steps,
    checkpoint: (step) => join(folder, nameOf(step)),
    find: (which) => pointedAt(folder, which),
    goBackTo: (step) => writing(folder, () => point("last", step)),
    async save(contents, { keep, best }) {
      const { step } = contents;
      await writeCheckpoint(join(folder, nameOf(step)), contents, on);
      return writing(folder, async () => {
        await point("last", step);
        if (best) await point("best", step);
        await discard(
          folder,
          (await steps()).filter((s) => s <= step),
          keep,
          on,
        );
        return join(folder, nameOf(step));
      });
    },
  };
}

/** A link of that name to a checkpoint, replaced in one go. */
async function pointTo(folder: string, which: "last" | "best", name: string, on: Disk): Promise<void> {
  const fresh = join(folder, `${UNFINISHED}${which}`);
  await on.remove(fresh);
  await symlink(name, fresh, "junction");
  if (process.platform === "win32") await on.remove(join(folder, which)); // its rename replaces no link
  await on.rename(fresh, join(folder, which));
  await syncFolder(folder, on);
}

/** Null where there is no such link, or it leads to no checkpoint of this folder. */
async function pointedAt(folder: string, which: "last" | "best"): Promise<string | null> {
  try {
    const name = await readlink(join(folder, which));
    return stepOf(name) === null ? null : join(folder, name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw cause;
  }
}

/** Keeps the newest `keep`, the last and the best. One that goes is renamed first, so that none is ever seen half-removed. */
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
  const found = await Promise.all([pointedAt(folder, "last"), pointedAt(folder, "best")]);
  return found.flatMap((path) => (path === null ? [] : [path.slice(folder.length + 1)]));
}

/**
 * Reads the checkpoint to go on from: the last, or that of a step. Throws TrainError where it is not whole or not of the model, and names an older one that is.
 */
export async function resumeFrom(
  run: RunFolder,
  step: number | null,
  model: Pick<Program, "weights" | "ignore">,
): Promise<{ readonly path: string; readonly checkpoint: Checkpoint }> {
  const steps = await run.steps();
  const newest = steps.at(-1);
  const path = step === null ? ((await run.find("last")) ?? (newest === undefined ? null : run.checkpoint(newest))) : run.checkpoint(step);
  if (path === null) throw new TrainError("bad-checkpoint", `${run.path} has no checkpoint to resume from`, { hint: "leave --resume out to begin" });
  if (step !== null && !steps.includes(step))
    throw new TrainError("bad-checkpoint", `${run.path} has no checkpoint of step ${step}`, { hint: steps.length > 0 ? `it has ${steps.join(", ")}` : null });
  try {
    return { path, checkpoint: await readCheckpoint(path, model) };
  } catch (fault) {
    if (!(fault instanceof TrainError)) throw fault;
    const older = await newestWhole(
      run,
      steps.filter((s) => run.checkpoint(s) !== path),
      model,
    );
    const hint =
      older === null
        ? "no other checkpoint of the run is whole and of this model"
        : `the checkpoint of step ${older} is whole: --resume ${older} goes on from it`;
    throw new TrainError(fault.code, fault.message, { hint, cause: fault });
  }
}

async function newestWhole(run: RunFolder, steps: readonly number[], model: Pick<Program, "weights" | "ignore">): Promise<number | null> {
  for (const step of [...steps].reverse()) {
    try {
      await readCheckpoint(run.checkpoint(step), model);
      return step;
    } catch (fault) {
      if (!(fault instanceof TrainError)) throw fault;
    }
  }
  return null;
}

/** Validation loss of the best checkpoint; null where there is none, or it is not whole. */
export async function bestLoss(run: RunFolder): Promise<number | null> {
  const path = await run.find("best");
  if (path === null) return null;
  try {
    return (await readManifest(path)).validation;
  } catch (fault) {
    if (fault instanceof TrainError) return null;
    throw fault;
  }
}
