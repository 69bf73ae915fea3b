// Runs the self-test of a GPU's features in a separate process, and stores its result. Node only.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { LEAST_PINNED } from "../program/target.js";
import { userCache } from "../../ground/files/cache-node.js";
import { dawnUrl } from "./dawn-node.js";
import { writeWhole } from "../../ground/files/place-node.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { selfTest, selfTestProgram, type SelfTestLine, type SelfTestTask } from "./self-test-child.js";
import { ALL_FEATURES, judge, OUTCOMES, type Ending, type Outcome, type SelfTest } from "./self-test.js";

/** The first start of a driver and of its compiler takes seconds. */
const LIMIT_MS = 20_000;
/** More characters than a test prints for all configurations that a device may list. */
const MOST_CHARACTERS = 1 << 20;

/** The identity of the tested adapter. */
export type Tested = Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">;

/** The verdict, and the adapter that the process found. */
export interface Attempt {
  readonly test: SelfTest;
  readonly adapter: Extract<SelfTestLine, { kind: "adapter" }> | null;
}

/** Runs the test, whatever is stored. Null if `webgpu` is not installed or no process can be started; then nothing is known. */
export async function attempt(env: NodeJS.ProcessEnv, limitMs = LIMIT_MS): Promise<Attempt | null> {
  const dawn = dawnUrl();
  if (dawn === null) return null;
  const task: Omit<SelfTestTask, "fault"> = { flags: [ALL_FEATURES], narrowest: LEAST_PINNED };
  const child = spawn(process.execPath, ["--input-type=module", "-e", selfTestProgram(), dawn, JSON.stringify(task)], {
    env: { ...env, NODE_OPTIONS: "", ELECTRON_RUN_AS_NODE: "1" },
    stdio: ["ignore", "pipe", "ignore"],
    windowsHide: true,
  });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    if (output.length < MOST_CHARACTERS) output += text;
  });
  const ending = await new Promise<Ending | null>((resolve) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, limitMs);
    const end = (how: Ending | null): void => {
      clearTimeout(timer);
      resolve(how);
    };
    child.on("error", () => end(null));
    child.on("close", (code) => end(late ? "hung" : code === 0 ? "ended" : "crashed"));
  });
  if (ending === null) return null;
  const lines = linesOf(output);
  return { test: judge(lines, ending), adapter: lines.find((line) => line.kind === "adapter") ?? null };
}

/** The parsed lines. The last line may be incomplete. */
function linesOf(output: string): readonly SelfTestLine[] {
  return output.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as SelfTestLine]; // written by the self-test
    } catch {
      return [];
    }
  });
}

/** The version of Dawn's package; null if it is not installed. */
function dawnVersion(): string | null {
  const dawn = dawnUrl();
  return dawn && (createRequire(dawn)("webgpu/package.json") as { readonly version: string }).version;
}

/** The key of a stored verdict: the adapter with its driver, Dawn's version, the narrowest pinned width, and the test. */
const keyOf = ({ vendor, architecture, device, description }: Tested): string =>
  createHash("sha256")
    .update(
      JSON.stringify([vendor, architecture, device, description, dawnVersion(), LEAST_PINNED, selfTest.toString()]),
    )
    .digest("hex");

const folderIn = (env: NodeJS.ProcessEnv): string => join(userCache(env), "self-tests");
const fileFor = (key: string, env: NodeJS.ProcessEnv): string => join(folderIn(env), `${key.slice(0, 24)}.json`);

/** The stored result of an earlier test; null if there is none, or the file is not a valid result. */
export function storedResult(adapter: Tested, env: NodeJS.ProcessEnv): SelfTest | null {
  const key = keyOf(adapter);
  try {
    if (!isOwn(folderIn(env))) return null;
    const bytes = readRegular(fileFor(key, env), 4096, () => new Error("too large"));
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (!isVerdict(value) || value.key !== key) return null;
    const { f16, matrices, pins, vectors } = value;
    return { f16, matrices, pins, vectors };
  } catch {
    return null; // no file or an invalid file: the test runs again
  }
}

/** Stores a result. If the folder cannot be written, the next start tests again. */
export function storeResult(adapter: Tested, { f16, matrices, pins, vectors }: SelfTest, env: NodeJS.ProcessEnv): void {
  const key = keyOf(adapter);
  try {
    mkdirSync(folderIn(env), { recursive: true, mode: 0o700 });
    const { description } = adapter;
    const verdict = { key, description, webgpu: dawnVersion(), f16, matrices, pins, vectors };
    writeWhole(fileFor(key, env), `${JSON.stringify(verdict)}\n`);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

/** Whether the folder belongs to this user: no other user may decide which features to trust. */
function isOwn(folder: string): boolean {
  const uid = process.getuid?.();
  if (uid === undefined) return true;
  const { uid: owner, mode } = statSync(folder);
  return (owner === uid || owner === 0) && (mode & 0o022) === 0;
}

function isVerdict(value: unknown): value is SelfTest & { readonly key: string } {
  if (typeof value !== "object" || value === null) return false;
  const { key, f16, matrices, pins, vectors } = value as Readonly<Record<string, unknown>>;
  const isOutcome = (outcome: unknown): outcome is Outcome => OUTCOMES.some((known) => known === outcome);
  return typeof key === "string" && [f16, matrices, pins, vectors].every(isOutcome);
}
