// The stages of a portable folder's run: processes with a time limit, one after the other.
import { spawn } from "node:child_process";

export interface Stage {
  readonly name: string;
  /** Arguments of Node. */
  readonly args: readonly string[];
  /** Seconds it may take; fewer where fewer are left. */
  readonly limit: number;
  /** Whether its failure is a failure of the whole. */
  readonly must: boolean;
}

export interface Outcome {
  readonly name: string;
  readonly status: "fine" | "failed" | "out of time" | "not begun";
  readonly seconds: number;
  readonly must: boolean;
  readonly stdout: string;
  /** The last of it. */
  readonly stderr: string;
}

/** Where less time is left, no stage is begun. */
const LEAST_SECONDS = 2;
const MOST_CHARACTERS = 1 << 22;

/**
 * Goes on after a stage that fails. `until`: the time, as of `performance.now`, at which all must have ended. After
 * `stop` nothing is begun, and what runs is killed.
 */
export async function runStages(
  stages: readonly Stage[],
  until: number,
  env: NodeJS.ProcessEnv,
  tell: (text: string) => void,
  stop: AbortSignal = new AbortController().signal,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const stage of stages) {
    const left = (until - performance.now()) / 1000;
    const seconds = Math.min(stage.limit, left);
    const none = { name: stage.name, must: stage.must, seconds: 0, stdout: "", stderr: "" };
    const outcome: Outcome =
      stop.aborted || left < Math.min(LEAST_SECONDS, stage.limit)
        ? { ...none, status: "not begun" }
        : await runStage(stage, seconds, env, stop);
    tell(`${outcome.status.padEnd(11)} ${outcome.seconds.toFixed(1).padStart(6)} s  ${stage.name}`);
    outcomes.push(outcome);
  }
  return outcomes;
}

async function runStage(
  { name, args, must }: Stage,
  seconds: number,
  env: NodeJS.ProcessEnv,
  stop: AbortSignal,
): Promise<Outcome> {
  const began = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (said.stdout.length < MOST_CHARACTERS) said.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr = (said.stderr + text).slice(-4000);
  });
  let late = false;
  const end = (): void => {
    late = true;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(end, seconds * 1000);
  stop.addEventListener("abort", end);
  const status = await new Promise<Outcome["status"]>((resolve) => {
    child.on("error", (error) => {
      said.stderr += error.message;
      resolve("failed");
    });
    child.on("close", (code) => resolve(late ? "out of time" : code === 0 ? "fine" : "failed"));
  });
  clearTimeout(timer);
  stop.removeEventListener("abort", end);
  return { name, must, status, seconds: (performance.now() - began) / 1000, ...said };
}
