// Runs of a trainer without a device in a scratch folder: what tests of running, going on and failing share.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { TrainError } from "../../../src/tools/train/errors.js";
import type { TrainEvent } from "../../../src/tools/train/events.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { scratch, text } from "./folder.js";
import { pretendRun, type Pretence } from "./pretend.js";

export const settings = {
  context: 32,
  batch: 2,
  accumulate: 2,
  steps: 20,
  validateEvery: 7,
  checkpointEvery: 5,
  keep: 2,
  validationWindows: 4,
  live: "capacity=100%@0,12.5%@50%",
};

export type More = Partial<RunOptions> & { readonly pretence?: Pretence };

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

/** A folder for the runs of a test file, removed at its end, with a text and a run that nothing disturbs. */
export function pretendRuns() {
  const folder = scratch();
  afterAll(() => folder.remove());
  let made = 0;
  const place = (): string => join(folder.path, `run-${made++}`);
  const data = folder.file("text.txt", text(20_000, 1));
  const runTo = (
    output: string,
    more: More = {},
    change: Partial<RunOptions["settings"]> = {},
  ): Promise<TrainEvent[]> => all(pretendRun(output, data, { ...settings, ...change }, more));
  const whole = place();
  return { folder, place, data, runTo, whole, undisturbed: runTo(whole) };
}
