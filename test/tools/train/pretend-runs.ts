// Runs of a trainer without a device in a scratch folder: what tests of running, going on and failing share.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { TrainError } from "../../../src/tools/train/errors.js";
import type { TrainEvent } from "../../../src/tools/train/events.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { DATA_KINDS, kindRun, writeKind, type DataKind, type More } from "./data-kinds.js";
import { scratch } from "./folder.js";

export { settings, type More } from "./data-kinds.js";

export async function all(options: RunOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainModel(options)) events.push(event);
  return events;
}

/** The error that a run ends with. */
export async function fault(body: Promise<unknown>): Promise<TrainError> {
  const error = await body.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TrainError);
  return error as TrainError; // as was expected
}

/** A file of the last checkpoint. */
export const last = (output: string, file: string): Buffer => readFileSync(join(output, "checkpoints", "last", file));

/** Without its steps: `b0c5e5`. */
export const kinds = (events: readonly TrainEvent[]): string =>
  events.flatMap((e) => (e.kind === "step" ? [] : [`${e.kind[0]}${e.step}`])).join("");

/** A folder for the runs of a test file, removed at its end, with data of a kind and a run that nothing disturbs. */
export function pretendRuns(kind: DataKind = DATA_KINDS[0]!) {
  const folder = scratch();
  afterAll(() => folder.remove());
  let made = 0;
  const place = (): string => join(folder.path, `run-${made++}`);
  const written = writeKind(kind, folder);
  const { data } = written;
  const runTo = (
    output: string,
    more: More = {},
    change: Partial<RunOptions["settings"]> = {},
  ): Promise<TrainEvent[]> => all(kindRun(kind, written, output, more, change));
  const whole = place();
  return { folder, place, data, written, runTo, whole, undisturbed: runTo(whole) };
}
