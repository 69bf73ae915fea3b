// Runs the command line: in this process, from its source, or as a user does, built and in a process of its own.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../../scripts/setup.mjs";
import { run } from "./in-process.js";

export const root = join(import.meta.dirname, "../../..");
/** The built command line. */
export const main = join(root, "dist", "src", "cli", "main.js");

// Quick where nothing has changed.
build();

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Variables to add to the tests' environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs `modc …` to its end in this process, without the time that a process takes to start. */
export async function modc(args: readonly string[], { env = {} }: RunOptions = {}): Promise<Ended> {
  // Drivers read the environment of the process.
  if (Object.keys(env).some((name) => name in NO_DEVICE)) return modcProcess(args, { env });
  const { NO_COLOR: _color, ...rest } = process.env;
  return run(args, { env: { ...(rest as Record<string, string>), ...env } });
}

export interface SpawnOptions extends RunOptions {
  readonly cwd?: string;
}

/**
 * Runs `modc …` in a separate process, for tests that need one. Progress lines are removed: they appear if a step takes
 * longer than a second.
 */
export function modcProcess(args: readonly string[], { cwd = root, env = {} }: SpawnOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd,
      env: { ...process.env, NO_COLOR: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child
      .on("error", reject)
      .on("close", (status) => resolve({ status, stdout, stderr: stderr.replaceAll(/^[a-z][a-z ,]* …\n/gm, "") }));
  });
}

/** Runs all of them, two at a time. */
export async function modcAll(
  runs: readonly { readonly args: readonly string[]; readonly options?: RunOptions }[],
): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < runs.length; i = next++) ended[i] = await modc(runs[i]!.args, runs[i]!.options);
  };
  await Promise.all([worker(), worker()]);
  return ended;
}

/** A folder for one file of tests, and how to fill and remove it. */
export function temporaryFolder(): {
  readonly path: string;
  readonly file: (name: string, content: string | Uint8Array) => string;
  readonly folder: (name: string) => string;
  readonly remove: () => void;
} {
  const path = mkdtempSync(join(tmpdir(), "modc-cli-"));
  return {
    path,
    file: (name, content) => {
      writeFileSync(join(path, name), content);
      return join(path, name);
    },
    folder: (name) => {
      mkdirSync(join(path, name), { recursive: true });
      return join(path, name);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

export const GOLDEN = ["examples/golden.mod", "--input", "x=[[[1],[3],[2],[4]]]"] as const;

/** A path where no driver is, and no fallback: a machine without a device. */
export const NO_DEVICE = { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent", MODC_NO_FALLBACK: "1" };
