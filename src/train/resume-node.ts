// The checkpoint that a run goes on from: the newest or that of a step, whole, or which other one is.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Program } from "../program/program.js";
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
import type { Manifest } from "../session/manifest.js";
import { CHECKPOINTS, openRunFolder, type RunFolder } from "./run-folder-node.js";

/** What a run that goes on is to know before its model is compiled. */
export interface Before {
  readonly manifest: Manifest;
  readonly sources: Sources;
}

/**
 * Reads what the checkpoint to go on from says of itself, and its model's source: the newest, or that of a step. Throws
 * TrainError where there is none, or another process trains.
 */
export async function before(output: string, step: number | null): Promise<Before> {
  const there = await stat(join(output, CHECKPOINTS)).then(
    (found) => found.isDirectory(),
    () => false, // whatever is in the way, nothing can be read there
  );
  if (!there) throw nothingIn(output);
  const unlock = await lockFolder(output);
  try {
    const run = await openRunFolder(output);
    return await said(run, await chosen(run, step));
  } finally {
    await unlock();
  }
}

/**
 * Reads the checkpoint to go on from: the newest, or that of a step. Throws TrainError where it is not whole or its
 * weights are not the model's, and names another one that can be gone on from; and what `expect` throws, which sees
 * what the checkpoint says before its tensors are read.
 */
export async function resumeFrom(
  run: RunFolder,
  step: number | null,
  model: Pick<Program, "weights" | "ignore">,
  expect: (before: Before, path: string) => void = () => undefined,
): Promise<{ readonly path: string; readonly checkpoint: Checkpoint }> {
  const path = await chosen(run, step);
  expect(await said(run, path), path);
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

async function said(run: RunFolder, path: string): Promise<Before> {
  try {
    const manifest = await readManifest(path);
    return { manifest, sources: await readSources(path, manifest) };
  } catch (fault) {
    throw await withOlder(fault, run, path, isComplete);
  }
}

const nothingIn = (output: string): TrainError =>
  new TrainError("bad-checkpoint", `${output} has no checkpoint to resume from`, {
    hint: "leave --resume out to begin",
  });

/** Newer than what `last` says can only be one that was written whole just before the run was killed. */
async function chosen(run: RunFolder, step: number | null): Promise<string> {
  const steps = await run.steps();
  const found = step ?? steps.at(-1);
  if (found === undefined) throw nothingIn(run.path);
  if (!steps.includes(found))
    throw new TrainError("bad-checkpoint", `${run.path} has no checkpoint of step ${found}`, {
      hint: steps.length > 0 ? `it has ${steps.join(", ")}` : null,
    });
  return run.checkpoint(found);
}

/** What is wrong with a checkpoint, with the newest other one that can be gone on from. */
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
      hint: `the checkpoint of step ${older} is whole: --resume ${older} goes on from it`,
      cause: fault,
    });
  }
  return new TrainError(fault.code, fault.message, {
    hint: "no other checkpoint of the run is whole and of this model",
    cause: fault,
  });
}
