// Finds the checkpoint from which a run resumes: the newest, or the checkpoint of a step. If it is damaged, the error
// names an undamaged one.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Program } from "../../runtime/program/program.js";
import {
  isComplete,
  readCheckpoint,
  readManifest,
  readSources,
  type Checkpoint,
  type Sources,
} from "./checkpoint-node.js";
import { TrainError } from "./errors.js";
import { lockFolder } from "./lock-node.js";
import type { Manifest } from "../../models/runs/manifest.js";
import { CHECKPOINTS, openRunFolder, type RunFolder } from "./run-folder-node.js";

/** The parts of a checkpoint that are read before the model is compiled. */
export interface Before {
  readonly manifest: Manifest;
  readonly sources: Sources;
}

/**
 * Reads the manifest and sources of the checkpoint to resume from: the newest, or the checkpoint of a step. Throws
 * TrainError if there is none, or if another process trains.
 */
export async function before(output: string, step: number | null): Promise<Before> {
  const exists = await stat(join(output, CHECKPOINTS)).then(
    (found) => found.isDirectory(),
    () => false, // nothing can be read there, whatever the reason
  );
  if (!exists) throw nothingIn(output);
  const unlock = await lockFolder(output);
  try {
    const run = await openRunFolder(output);
    return await readBefore(run, await chosen(run, step));
  } finally {
    await unlock();
  }
}

/**
 * Reads the checkpoint to resume from: the newest, or the checkpoint of a step. Throws TrainError if the checkpoint is
 * damaged or has other weights than the model; the error names a checkpoint that can be resumed. `expect` is called
 * with the manifest and sources before the tensors are read, and may throw.
 */
export async function resumeFrom(
  run: RunFolder,
  step: number | null,
  model: Pick<Program, "weights" | "ignore">,
  expect: (before: Before, path: string) => void = () => undefined,
): Promise<{ readonly path: string; readonly checkpoint: Checkpoint }> {
  const path = await chosen(run, step);
  expect(await readBefore(run, path), path);
  try {
    return { path, checkpoint: await readCheckpoint(path, model) };
  } catch (fault) {
    throw await withOlder(fault, run, path, async (older) => {
      try {
        await readCheckpoint(older, model);
        return true;
      } catch (other) {
        if (other instanceof TrainError) return false;
        throw other;
      }
    });
  }
}

async function readBefore(run: RunFolder, path: string): Promise<Before> {
  try {
    const manifest = await readManifest(path);
    return { manifest, sources: await readSources(path, manifest) };
  } catch (fault) {
    throw await withOlder(fault, run, path, isComplete);
  }
}

const nothingIn = (output: string): TrainError =>
  new TrainError("bad-checkpoint", `${output} has no checkpoint to resume from`, {
    hint: "leave out --resume to start a run",
  });

/** A complete checkpoint newer than `last` counts: the run was killed just after writing it. */
async function chosen(run: RunFolder, step: number | null): Promise<string> {
  const steps = await run.steps();
  const wantedStep = step ?? steps.at(-1);
  if (wantedStep === undefined) throw nothingIn(run.path);
  if (!steps.includes(wantedStep))
    throw new TrainError("bad-checkpoint", `${run.path} has no checkpoint of step ${wantedStep}`, {
      hint: steps.length > 0 ? `it has ${steps.join(", ")}` : null,
    });
  return run.checkpoint(wantedStep);
}

/** Adds to the error of a checkpoint the newest other checkpoint that can be resumed. */
async function withOlder(
  fault: unknown,
  run: RunFolder,
  path: string,
  isWhole: (path: string) => Promise<boolean>,
): Promise<unknown> {
  if (!(fault instanceof TrainError)) return fault;
  const others = (await run.steps()).filter((step) => run.checkpoint(step) !== path);
  for (const older of others.toReversed()) {
    if (!(await isWhole(run.checkpoint(older)))) continue;
    return new TrainError(fault.code, fault.message, {
      hint: `continue from an intact checkpoint: --resume ${older}`,
      cause: fault,
    });
  }
  return new TrainError(fault.code, fault.message, {
    hint: fault.hint ?? "start the run again: it has no other intact checkpoint of this model",
    cause: fault,
  });
}
